"""Turns about a scene full of signs, from which a model learns many letters at a time.

Each sign is asked for by its place, all of them in reading order. Every answer is true of the scene. Pure.
"""

from __future__ import annotations

from random import Random

from model.data.samples import Turn
from model.data.world.captions import listed, place, sentence
from model.data.world.scene import Scene, Sign, in_reading_order
from model.prompt import AnswerStyle, question_instruction

_ALL = ("Read all the signs.", "What do the signs say?", "List the text in the image.", "Read everything.")
_ONE = ("What does the sign {} say?", "What is written {}?", "Read the sign {}.", "What text is {}?")


def reading_turns(scene: Scene, rng: Random, count: int) -> tuple[Turn, ...]:
    """Build up to `count` different turns, the first about all signs; a place with two signs is not asked for."""
    turns = [Turn(rng.choice(_ALL), reading(scene))]
    places = [place(sign.box) for sign in scene.signs]
    alone = [sign for sign in scene.signs if places.count(place(sign.box)) == 1]
    turns += [_one(sign, rng) for sign in rng.sample(alone, min(len(alone), count - 1))]
    return tuple(turns)


def reading(scene: Scene) -> str:
    """Write the text of all signs, each with its place in front, as in `At the top "ABC" and on the right "42".`."""
    signs = in_reading_order(scene.signs)
    return sentence(listed([f'{place(sign.box)} "{sign.text}"' for sign in signs]))


def _one(sign: Sign, rng: Random) -> Turn:
    where = place(sign.box)
    style: AnswerStyle = rng.choice(("sentence", "short"))
    answer = sign.text if style == "short" else f'The sign {where} says "{sign.text}".'
    return Turn(question_instruction(rng.choice(_ONE).format(where), style), answer)
