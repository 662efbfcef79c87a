"""Questions about a scene with things, and their answers: what is there, where, and how many. Pure."""

from __future__ import annotations

from random import Random

from model.data.samples import Turn
from model.data.things.captions import caption, listing
from model.data.things.scene import Placed, ThingScene
from model.data.things.wording import a, plural
from model.data.world.captions import place
from model.data.world.questions import (
    PLACES,
    QuestionAndAnswer,
    count_turn,
    counted,
    no_sign_turn,
    question_turn,
    turn_of,
    without,
    yes_or_no,
)
from model.data.world.scene import Boxed
from model.prompt import CaptionLength, CaptionStyle, caption_instruction

LIST = ("What things are there?", "Name everything.", "List the things in the image.", "What do you see?")
WHAT = ("What is {}?", "What thing is {}?", "What do you see {}?", "Name the thing {}.")
_ABOUT_OTHERS = 1 / 6  # share of the questions that are about shapes and signs
_ALONE = ("What is this?", "What is in the picture?", "What is in the image?", "What is shown?", "Name this.")


def turns_about_things(scene: ThingScene, names: tuple[str, ...], rng: Random, count: int) -> tuple[Turn, ...]:
    """Draw different turns about a scene with things: a caption and what stands where always, other questions after.

    Args:
        scene: what is told.
        names: of all things, for wrong answers.
        rng: where every choice comes from.
        count: turns, two or more.
    """
    made = {turn.instruction: turn for turn in (_caption_turn(scene, rng), what_turn(scene, names, rng))}
    while len(made) < count:
        turn = _question_turn(scene, names, rng)
        made.setdefault(turn.instruction, turn)
    return tuple(made.values())


def turns_about_a_crowd(scene: ThingScene, rng: Random, count: int) -> tuple[Turn, ...]:
    """Build up to `count` different turns: the list of all things, then single ones by their places."""
    turns = [Turn(rng.choice(LIST), listing(scene))]
    alone = alone_in_their_places(scene)
    turns += [
        turn_of(_what(thing, (), rng), rng, ("sentence", "short"))
        for thing in rng.sample(alone, min(len(alone), count - 1))
    ]
    return tuple(turns)


def what_turn(scene: ThingScene, names: tuple[str, ...], rng: Random) -> Turn:
    """Build a turn that asks what the only thing is, or the only one of a place; what all are if none stands alone."""
    if len(scene.things) == 1 and not scene.behind.shapes and rng.random() < 0.6:
        name = scene.things[0].name
        asked = QuestionAndAnswer("what", rng.choice(_ALONE), name, f"It is {a(name)}.", _wrong(name, names, rng))
        return turn_of(asked, rng)
    alone = alone_in_their_places(scene)
    if not alone:
        return Turn(rng.choice(LIST), listing(scene))
    return turn_of(_what(rng.choice(alone), names, rng), rng)


def alone_in_their_places(scene: ThingScene) -> list[Placed]:
    """Return the things in whose place nothing else stands."""
    together: list[Boxed] = [*scene.things, *scene.behind.shapes, *scene.behind.signs]
    places = [place(each.box) for each in together]
    return [thing for thing in scene.things if places.count(place(thing.box)) == 1]


def _caption_turn(scene: ThingScene, rng: Random) -> Turn:
    length: CaptionLength = rng.choice(("short", "normal", "long"))
    style: CaptionStyle = "scene_text" if rng.random() < 0.15 else "plain"
    return Turn(caption_instruction(length, style), caption(scene, length, style))


def _question_turn(scene: ThingScene, names: tuple[str, ...], rng: Random) -> Turn:
    if rng.random() < _ABOUT_OTHERS:
        return _behind(scene, rng)
    ask = rng.choice((_count, _exists, _exists, _where, None))
    asked = ask(scene, names, rng) if ask else None
    return turn_of(asked, rng) if asked else what_turn(scene, names, rng)


def _behind(scene: ThingScene, rng: Random) -> Turn:
    """Ask about the shapes and the sign, which are mostly not there."""
    chance = rng.random()
    if scene.behind.sign is None and chance < 0.4:
        return no_sign_turn(rng)
    return count_turn(scene.behind, rng) if chance < 0.7 else question_turn(scene.behind, rng)


def _what(thing: Placed, names: tuple[str, ...], rng: Random) -> QuestionAndAnswer:
    where, name = place(thing.box), thing.name
    question = rng.choice(WHAT).format(where)
    return QuestionAndAnswer("what", question, name, f"It is {a(name)}.", _wrong(name, names, rng))


def _wrong(name: str, names: tuple[str, ...], rng: Random) -> tuple[str, ...]:
    return without(rng.sample(names, min(4, len(names))), name)


def _count(scene: ThingScene, names: tuple[str, ...], rng: Random) -> QuestionAndAnswer:
    if rng.random() < 0.3 and not scene.behind.shapes and scene.behind.sign is None:
        return counted(len(scene.things), "", "thing", "things", rng)
    name = rng.choice(scene.things).name if rng.random() < 0.75 else rng.choice(names)
    count = sum(thing.name == name for thing in scene.things)
    return counted(count, "", name, plural(name), rng)


def _exists(scene: ThingScene, names: tuple[str, ...], rng: Random) -> QuestionAndAnswer:
    name = rng.choice(scene.things).name if rng.random() < 0.5 else rng.choice(names)
    question = rng.choice(
        ("Is there {}?", "Is there {} in the picture?", "Do you see {}?", "is there {} in the image?")
    )
    return yes_or_no(question.format(a(name)), any(thing.name == name for thing in scene.things), a(name))


def _where(scene: ThingScene, names: tuple[str, ...], rng: Random) -> QuestionAndAnswer | None:
    all_names = [thing.name for thing in scene.things]
    single = [thing for thing in scene.things if all_names.count(thing.name) == 1]
    if not single:
        return None
    thing = rng.choice(single)
    where = place(thing.box)
    question = rng.choice(("Where is the {}?", "Where in the image is the {}?", "Where do you see the {}?"))
    return QuestionAndAnswer(
        "place", question.format(thing.name), where, f"The {thing.name} is {where}.", without(PLACES, where)
    )
