"""Endless source of signs on photographs: text in scenes of which nothing else has a name in this world."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from model.data.outside.pictures import Pictures, degraded
from model.data.samples import ENDLESS, Sample
from model.data.world.photographed import draw_signs, paint_signs
from model.data.world.reading import reading_turns
from model.data.world.sign_texts import varied_sign_text
from model.data.world.source import turns_about

_SIGNS = (1, 1, 1, 2, 3, 6)  # that look for a place


@dataclass(frozen=True, slots=True)
class PhotographedSigns:
    """Source of signs on photographs with turns about them; a single sign is asked about as in a drawn scene.

    Attributes:
        seed: names the stream.
        pictures: the photographs.
        turns: turns made for one picture.
    """

    seed: str
    pictures: Pictures
    turns: int = 4

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Sample:
        rng = Random(f"{self.seed} {index}")  # noqa: S311 - reproducible, not secret
        width = rng.randint(176, 320)
        size = width, max(176, min(320, round(width * rng.choice((1.0, 1.0, 0.75, 1.33)))))
        photograph = self.pictures.photograph(rng, size)
        scene = draw_signs(rng, photograph, rng.choice(_SIGNS), varied_sign_text)
        image = degraded(paint_signs(scene, photograph).image, rng)
        if len(scene.signs) == 1:
            return Sample(image, turns_about(scene, rng, self.turns))
        return Sample(image, reading_turns(scene, rng, self.turns))
