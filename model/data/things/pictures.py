"""Pictures of things from a folder, as `collecting.py` fills it, shown mirrored, turned and tinted a little.

Every choice comes from the caller's generator. Pillow alone; any thread or process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

from PIL import Image, ImageEnhance, ImageOps

from model.data.things.collecting import OTHERS

_TURN_DEGREES = 15.0
_TINT = 12  # steps of 256 around the circle of hues


class ThingsMissing(ValueError):
    """Folder without pictures of things; the message says how to fill it."""


@dataclass(frozen=True, slots=True)
class ThingPictures:
    """Pictures of things in some styles; each name comes as often as any other."""

    folder: Path
    styles: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All names that have a picture."""
        return tuple(_named(self.folder, self.styles))

    def of(self, name: str, rng: Random) -> Image.Image:
        """Show a thing, RGBA, cut to what can be seen of it.

        Raises:
            KeyError: no picture has this name.
        """
        return _shown(rng.choice(_named(self.folder, self.styles)[name]), rng)

    def nameless(self, rng: Random) -> Image.Image:
        """Show something that has no name here, as `of` does."""
        return _shown(rng.choice(_nameless(self.folder, self.styles)), rng)


def _shown(path: Path, rng: Random) -> Image.Image:
    with Image.open(path) as file:
        picture = file.convert("RGBA")
    if rng.random() < 0.5:
        picture = ImageOps.mirror(picture)
    if rng.random() < 0.4:
        picture = picture.rotate(rng.uniform(-_TURN_DEGREES, _TURN_DEGREES), Image.Resampling.BICUBIC, expand=True)
    return _toned(picture.crop(picture.getchannel("A").getbbox()), rng)


def _toned(picture: Image.Image, rng: Random) -> Image.Image:
    alpha, colours = picture.getchannel("A"), picture.convert("RGB")
    if rng.random() < 0.3:
        hue, saturation, value = colours.convert("HSV").split()
        shift = rng.randint(-_TINT, _TINT)
        colours = Image.merge("HSV", (hue.point(lambda each: (each + shift) % 256), saturation, value)).convert("RGB")
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        if rng.random() < 0.4:
            colours = change(colours).enhance(rng.uniform(0.7, 1.3))
    colours.putalpha(alpha)
    return colours


@lru_cache(maxsize=8)
def _named(folder: Path, styles: tuple[str, ...]) -> Mapping[str, list[Path]]:
    named: dict[str, list[Path]] = {}
    for style in styles:
        for path in sorted((folder / style).glob("*.png")):
            named.setdefault(path.stem.rpartition("-")[0], []).append(path)
    if not named:
        raise ThingsMissing(f"{folder}: no pictures of things; `pheye dev things` puts some there")
    return dict(sorted(named.items()))


@lru_cache(maxsize=8)
def _nameless(folder: Path, styles: tuple[str, ...]) -> list[Path]:
    others = [path for style in styles for path in sorted((folder / style / OTHERS).glob("*.png"))]
    if not others:
        raise ThingsMissing(f"{folder}: no pictures of others; `pheye dev things` puts some there")
    return others
