"""Endless source of scenes with everyday things, and of such with things that have no name here."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from PIL import Image

from model.data.outside.pictures import Pictures, degraded
from model.data.samples import ENDLESS, Sample
from model.data.things.pictures import ThingPictures
from model.data.things.questions import turns_about_a_crowd, turns_about_things
from model.data.things.scene import ThingScene, draw_things

_SIDE_PX = (176, 320)
_PHOTOGRAPHED = 0.35  # share of the scenes that stand before a photograph
_REPEATED = 0.25  # share of the scenes with several of a kind
_OF_SETS = 0.6  # share of the nameless things that icon sets have
_CROWDS = (5, 8, 12)  # things that look for a place in a crowd


@dataclass(frozen=True, slots=True)
class NamelessThings:
    """Things that have no name here: pictures of the icon sets, and cut-out ones of packages."""

    things: ThingPictures
    pictures: Pictures

    def thing(self, rng: Random) -> Image.Image:
        """Draw a thing without a name, RGBA, cut out of its background."""
        return self.things.nameless(rng) if rng.random() < _OF_SETS else self.pictures.thing(rng)


@dataclass(frozen=True, slots=True)
class ThingSource:
    """Source of scenes with things; every other one is a crowd, from which many names are learned at a time.

    Attributes:
        seed: names the stream.
        things: their pictures.
        photographs: what some of them stand before.
        turns: turns made for one picture.
    """

    seed: str
    things: ThingPictures
    photographs: Pictures
    turns: int = 4

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Sample:
        rng = Random(f"{self.seed} {index}")  # noqa: S311 - reproducible, not secret
        crowded = index % 2 == 1
        scene, image = self.scene(rng, crowded)
        if crowded:
            return Sample(image, turns_about_a_crowd(scene, rng, self.turns))
        return Sample(image, turns_about_things(scene, self.things.names, rng, self.turns))

    def scene(self, rng: Random, crowded: bool) -> tuple[ThingScene, Image.Image]:
        """Draw a scene, with a crowd of small things or with up to four, and paint it."""
        count = rng.choice(_CROWDS if crowded else (1, 1, 2, 2, 3, 4))
        photograph = self.photographs.photograph(rng, _size(rng)) if rng.random() < _PHOTOGRAPHED else None
        scene, image = draw_things(rng, self.things, _names(rng, self.things, count), photograph, crowded)
        return scene, degraded(image, rng)


def _names(rng: Random, things: ThingPictures, count: int) -> list[str]:
    """Draw different names, or now and then several of a kind, to be counted."""
    if rng.random() < _REPEATED:
        few = rng.sample(things.names, max(1, count // 2))
        return [rng.choice(few) for _ in range(count)]
    return rng.sample(things.names, min(count, len(things.names)))


def _size(rng: Random) -> tuple[int, int]:
    width = rng.randint(*_SIDE_PX)
    return width, max(_SIDE_PX[0], min(_SIDE_PX[1], round(width * rng.choice((1.0, 1.0, 0.75, 1.33)))))
