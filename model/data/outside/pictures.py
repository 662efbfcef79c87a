"""Photographs and cut-out things from a folder, shown as a camera or a clumsy hand would show them.

The folder is what `packages.collect` makes: opaque pictures in `whole/`, things with transparency in `cutouts/`. Every
choice comes from the caller's generator. Pillow alone; any thread or process.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from math import sqrt
from pathlib import Path
from random import Random

from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from model.data.outside.packages import CUTOUTS, WHOLE

_LEAST_CROP = 0.25  # of a picture's side
_GREY = 0.12  # share of pictures that are shown without colour


class PicturesMissing(ValueError):
    """Folder without pictures; the message says how to fill it."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures of a folder; packages with many pictures come more often than others, but less than their share.

    Attributes:
        folder: where they are.
        unlike: packages whose cut-out things are not shown.
    """

    folder: Path
    unlike: tuple[str, ...] = ()

    def check(self) -> None:
        """Look whether there are pictures of both kinds.

        Raises:
            PicturesMissing: there are none.
        """
        for folder, unlike in ((WHOLE, ()), (CUTOUTS, self.unlike)):
            _packages(self.folder / folder, unlike)

    def photograph(self, rng: Random, size: tuple[int, int]) -> Image.Image:
        """Show a part of a photograph at a size, RGB: cropped, mirrored, brighter or darker, perhaps without colour."""
        with Image.open(_drawn(self.folder / WHOLE, (), rng)) as file:
            whole = file.convert("RGB")
        return degraded(_toned(_crop(whole, rng, size), rng), rng)

    def thing(self, rng: Random) -> Image.Image:
        """Return a thing that was cut out of its background, RGBA, mirrored now and then."""
        with Image.open(_drawn(self.folder / CUTOUTS, self.unlike, rng)) as file:
            thing = file.convert("RGBA")
        thing = thing.crop(thing.getchannel("A").getbbox())
        return ImageOps.mirror(thing) if rng.random() < 0.5 else thing


def degraded(image: Image.Image, rng: Random) -> Image.Image:
    """Blur an image slightly, or compress it as JPEG, now and then."""
    if rng.random() < 0.2:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))
    if rng.random() < 0.4:
        held = BytesIO()
        image.save(held, "JPEG", quality=rng.randint(35, 92))
        with Image.open(held) as file:
            image = file.convert("RGB")
    return image


def _crop(picture: Image.Image, rng: Random, size: tuple[int, int]) -> Image.Image:
    share = _LEAST_CROP ** (rng.random() * rng.random())  # mostly nearly all of it
    fit = min(picture.width / size[0], picture.height / size[1]) * share
    width, height = max(8.0, size[0] * fit), max(8.0, size[1] * fit)
    left, top = rng.uniform(0, max(0.0, picture.width - width)), rng.uniform(0, max(0.0, picture.height - height))
    part = picture.resize(size, Image.Resampling.BICUBIC, (left, top, left + width, top + height))
    return ImageOps.mirror(part) if rng.random() < 0.5 else part


def _toned(picture: Image.Image, rng: Random) -> Image.Image:
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        if rng.random() < 0.4:
            picture = change(picture).enhance(rng.uniform(0.6, 1.5))
    return ImageOps.grayscale(picture).convert("RGB") if rng.random() < _GREY else picture


def _drawn(folder: Path, unlike: tuple[str, ...], rng: Random) -> Path:
    packages, weights = _packages(folder, unlike)
    return rng.choice(rng.choices(packages, weights)[0])


@lru_cache(maxsize=8)
def _packages(folder: Path, unlike: tuple[str, ...]) -> tuple[list[list[Path]], list[float]]:
    groups: dict[str, list[Path]] = {}
    for file in sorted(folder.glob("*-*.*")):
        groups.setdefault(file.stem.rpartition("-")[0], []).append(file)
    if not groups:
        raise PicturesMissing(f"{folder}: no pictures; `pheye dev photographs {folder.parent}` puts some there")
    packages = [groups[name] for name in sorted(groups) if name not in unlike]
    return packages, [sqrt(len(files)) for files in packages]
