"""Pictures of things from a folder, as `collecting.py` fills it, shown mirrored, turned and tinted a little.

For the eye alone (`model/training/stage0/things.py`) they vary more, so that it learns no style by heart.

Every choice comes from the caller's generator. Pillow alone; any thread or process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import exp
from pathlib import Path
from random import Random

from PIL import Image, ImageEnhance, ImageOps

from model.data.things.collecting import OTHERS

_TURN_DEGREES = 15.0
_TINT = 12  # steps of 256 around the circle of hues
_STRETCH = 0.18  # natural logarithm of the widest stretch of a varied picture
_CHANNELS, _LIGHTS, _CONTRASTS = 0.25, 35, 0.3  # how far a varied picture's colours go, in shares and steps of 256


class ThingsMissing(ValueError):
    """Folder without pictures of things; the message says how to fill it."""


@dataclass(frozen=True, slots=True)
class ThingPictures:
    """Pictures of things in some styles; each name comes as often as any other.

    Attributes:
        folder: where they are.
        styles: icon sets that are shown.
        varied: stretch and colour them much more.
    """

    folder: Path
    styles: tuple[str, ...]
    varied: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """All names that have a picture."""
        return tuple(_named(self.folder, self.styles))

    def check(self) -> None:
        """Look whether there are pictures with a name and without.

        Raises:
            ThingsMissing: there are none.
        """
        _named(self.folder, self.styles)
        _nameless(self.folder, self.styles)

    def of(self, name: str, rng: Random) -> Image.Image:
        """Show a thing, RGBA, cut to what can be seen of it.

        Raises:
            KeyError: no picture has this name.
        """
        picture = _shown(rng.choice(_named(self.folder, self.styles)[name]), rng)
        return _varied(picture, rng) if self.varied else _toned(picture, rng)

    def nameless(self, rng: Random) -> Image.Image:
        """Show something that has no name here, as `of` does."""
        return _toned(_shown(rng.choice(_nameless(self.folder, self.styles)), rng), rng)


def _shown(path: Path, rng: Random) -> Image.Image:
    picture = _opened(path)
    if rng.random() < 0.5:
        picture = ImageOps.mirror(picture)
    if rng.random() < 0.4:
        picture = picture.rotate(rng.uniform(-_TURN_DEGREES, _TURN_DEGREES), Image.Resampling.BILINEAR, expand=True)
    return picture.crop(picture.getchannel("A").getbbox())


@lru_cache(maxsize=4096)
def _opened(path: Path) -> Image.Image:
    with Image.open(path) as file:
        return file.convert("RGBA")


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


def _varied(picture: Image.Image, rng: Random) -> Image.Image:
    stretch = exp(rng.uniform(-_STRETCH, _STRETCH))
    picture = picture.resize(
        (max(1, round(picture.width * stretch)), max(1, round(picture.height / stretch))), Image.Resampling.BILINEAR
    )
    colours = ImageEnhance.Color(picture.convert("RGB")).enhance(rng.uniform(0.4, 1.5))
    light, contrast = rng.uniform(-_LIGHTS, _LIGHTS), rng.uniform(1 - _CONTRASTS, 1 + _CONTRASTS)
    gains = [contrast * rng.uniform(1 - _CHANNELS, 1 + _CHANNELS) for _ in colours.getbands()]
    curves = [round((value - 128) * gain + 128 + light) for gain in gains for value in range(256)]
    colours = colours.point([min(255, max(0, value)) for value in curves])
    colours.putalpha(picture.getchannel("A"))
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
