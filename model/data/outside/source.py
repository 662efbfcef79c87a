"""Endless source of pictures outside the synthetic world: whatever is asked, the answer is one fixed sentence."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Protocol

from PIL import Image

from model.data.outside.drawn import drawn
from model.data.outside.pictures import Pictures, degraded
from model.data.samples import ENDLESS, Sample, Turn
from model.data.world.captions import NOTHING
from model.data.world.reading import reading_turns
from model.data.world.scene import draw_crowd, draw_scene
from model.data.world.source import turns_about
from model.prompt import question_instruction

_QUESTIONS = (  # as people ask them of a photograph
    "What is in the picture?", "What is this?", "Describe the image.", "What do you see?", "What is happening here?",
    "Who is this?", "What animal is this?", "Is there a person?", "How many people are there?",
    "Where was this taken?", "What is the weather like?", "Is it day or night?", "What color is the car?",
    "What is written here?", "What does the text say?", "Read the text.", "What brand is this?",
    "What number is shown?", "What colour is it?", "Is this a photograph?", "What is on the table?",
    "What is the man doing?", "What is the woman wearing?", "What food is this?", "What is in the background?",
    "What is in the foreground?",
    "Is there a dog?", "Is there a cat?", "What time is it?", "What kind of flower is this?", "What is the title?",
    "What does the label say?", "How old is this person?", "Is the door open?", "What is in the center?",
    "What is at the bottom?", "What is the main color?", "what is it?",
)  # fmt: skip


class CutOut(Protocol):
    """Source of things that were cut out of their background."""

    def thing(self, rng: Random) -> Image.Image:
        """Draw a thing, RGBA, transparent around it."""
        ...


@dataclass(frozen=True, slots=True)
class OutsideSource:
    """Source of pictures outside the world with turns that all get the same response.

    Attributes:
        seed: names the stream.
        pictures: photographs.
        cutouts: things that are laid on some pictures.
        turns: turns made for one picture.
    """

    seed: str
    pictures: Pictures
    cutouts: CutOut
    turns: int = 4

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Sample:
        rng = Random(f"{self.seed} {index}")  # noqa: S311 - reproducible, not secret
        image = self._image(rng)
        return Sample(image, tuple(Turn(asked, NOTHING) for asked in _asked(rng, self.turns)))

    def _image(self, rng: Random) -> Image.Image:
        width = rng.choice((64, rng.randint(100, 200), *[rng.randint(176, 320) for _ in range(4)]))
        size = width, max(64, round(width * rng.choice((1.0, 1.0, 0.66, 0.75, 1.33, 1.5))))
        kind = rng.random()
        if kind < 0.58:
            return self.pictures.photograph(rng, size)
        if kind < 0.78:
            return degraded(drawn(rng, size), rng)
        return degraded(self._things(rng, size), rng)

    def _things(self, rng: Random, size: tuple[int, int]) -> Image.Image:
        """Lay one to four cut-out things on a sheet, a photograph or something drawn."""
        behind = rng.random()
        if behind < 0.5:
            low = rng.choice((225, 225, 0))
            image = Image.new("RGB", size, tuple(rng.randint(low, 255) for _ in range(3)))
        else:
            image = self.pictures.photograph(rng, size) if behind < 0.8 else drawn(rng, size)
        for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
            thing = self.cutouts.thing(rng)
            side = max(12, round(rng.uniform(0.25, 0.95) * min(size)))
            thing.thumbnail((side, side))
            where = rng.randint(0, max(0, size[0] - thing.width)), rng.randint(0, max(0, size[1] - thing.height))
            image.paste(thing, where, thing)
        return image


def _asked(rng: Random, count: int) -> list[str]:
    """Draw instructions: the world's own captions and questions, those about places, and what people ask."""
    own = turns_about(draw_scene(rng), rng, count)
    about_places = reading_turns(draw_crowd(rng), rng, 2)
    asked = [turn.instruction for turn in (*own, *about_places)]
    asked += [question_instruction(rng.choice(_QUESTIONS), rng.choice(("sentence", "short"))) for _ in range(2)]
    rng.shuffle(asked)
    return asked[:count]
