"""Pictures of no meaning: gradients, noise, textures and drawings that show nothing of pheye-tiny's world.

Made here and for evaluation alone, by other means than the scenes' cluttered backgrounds: no filled shape of one plain
colour is among them that has a name there, and no letter. Pillow and numpy; the same seed and number give the same
picture with the same versions of both. Any thread or process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Generator = np.random.Generator
_Field = NDArray[np.float64]  # [height, width], 0 to 1


def abstract_picture(seed: str, index: int) -> Image.Image:
    """Make picture number `index` of a stream; its kind goes by the number, everything else by chance."""
    rng = np.random.default_rng([index, *seed.encode()])
    width = int(rng.integers(180, 480))
    height = int(width * rng.choice((0.75, 1.0, 1.33)))
    return tuple(_KINDS.values())[index % len(_KINDS)](rng, width, height)


def abstract_kind(index: int) -> str:
    """Name the kind of picture number `index`: `gradient`, `noise`, `texture`, `drawing` and more, by turns."""
    return tuple(_KINDS)[index % len(_KINDS)]


def _grid(width: int, height: int) -> tuple[_Field, _Field]:
    y, x = np.mgrid[0:height, 0:width]
    return x / width, y / height


def _colour(rng: Generator) -> NDArray[np.float64]:
    return rng.integers(0, 256, 3).astype(np.float64)


def _between(rng: Generator, field: _Field) -> Image.Image:
    """Colour a field by a ramp of three random colours."""
    low, middle, high = (_colour(rng) for _ in range(3))
    share = field[:, :, None]
    ramp = np.where(share < 0.5, low + (middle - low) * 2 * share, middle + (high - middle) * (2 * share - 1))
    return Image.fromarray(ramp.clip(0, 255).astype(np.uint8))


def _gradient(rng: Generator, width: int, height: int) -> Image.Image:
    x, y = _grid(width, height)
    angle = rng.uniform(0, 2 * np.pi)
    field = x * np.cos(angle) + y * np.sin(angle)
    if rng.random() < 0.4:
        field = np.hypot(x - rng.uniform(0, 1), y - rng.uniform(0, 1))
    return _between(rng, (field - field.min()) / np.ptp(field))


def _noise(rng: Generator, width: int, height: int) -> Image.Image:
    """Draw noise of one grain, coloured or gray."""
    grain = int(rng.choice((1, 2, 4, 8)))
    size = (height // grain + 1, width // grain + 1, 3 if rng.random() < 0.6 else 1)
    cells = rng.integers(0, 256, size, dtype=np.uint8)
    resample = Image.Resampling.NEAREST if rng.random() < 0.5 else Image.Resampling.BICUBIC
    return Image.fromarray(np.broadcast_to(cells, (*size[:2], 3)).copy()).resize((width, height), resample)


def _texture(rng: Generator, width: int, height: int) -> Image.Image:
    """Add up waves that bend each other, as marble, wood and water look."""
    x, y = _grid(width, height)
    field = np.zeros_like(x)
    for octave in range(1, 6):
        angle, phase = rng.uniform(0, 2 * np.pi, 2)
        along = x * np.cos(angle) + y * np.sin(angle)
        field += np.sin(2 * np.pi * 2**octave * along * 0.7 + phase + 1.5 * field) / octave
    return _between(rng, (field - field.min()) / np.ptp(field))


def _blobs(rng: Generator, width: int, height: int) -> Image.Image:
    """Blur noise into patches without an edge, as in a photograph out of focus."""
    soft = _noise(rng, width, height).filter(ImageFilter.GaussianBlur(float(rng.uniform(6, 20))))
    pixels = np.asarray(soft, dtype=np.float64)
    stretched = (pixels - pixels.min()) / max(np.ptp(pixels), 1) * 255
    return Image.fromarray(stretched.astype(np.uint8))


def _cells(rng: Generator, width: int, height: int) -> Image.Image:
    """Part the plane into cells by the nearest of many points, each in its own muted colour, as stones or a map."""
    x, y = _grid(width, height)
    points, colours = rng.random((int(rng.integers(40, 120)), 2)), rng.integers(60, 200, (120, 3))
    nearest = np.argmin([(x - px) ** 2 + (y - py) ** 2 for px, py in points], axis=0)
    return Image.fromarray(colours[nearest].astype(np.uint8)).filter(ImageFilter.SMOOTH)


def _hills(rng: Generator, width: int, height: int) -> Image.Image:
    """Paint a sky and a few ranges of hills in front of each other."""
    x, y = _grid(width, height)
    picture = np.asarray(_between(rng, y), dtype=np.float64)
    for layer in range(1, int(rng.integers(3, 6))):
        line = (
            0.25
            + 0.15 * layer
            + sum(rng.uniform(0.01, 0.06) * np.sin(2 * np.pi * wave * x + rng.uniform(0, 6)) for wave in (1, 2, 5, 9))
        )
        shade = _colour(rng) * (0.9 - 0.12 * layer) + rng.normal(0, 6, (*x.shape, 1))
        picture = np.where((y > line)[:, :, None], shade, picture)
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def _drawing(rng: Generator, width: int, height: int) -> Image.Image:
    """Draw strokes that wander, as a pen without a plan."""
    paper = tuple(rng.integers(170, 256, 3).tolist())
    image = Image.new("RGB", (width, height), paper)
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(3, 9))):
        steps = int(rng.integers(20, 90))
        turns = np.cumsum(rng.normal(0, rng.uniform(0.1, 0.6), steps)) + rng.uniform(0, 2 * np.pi)
        stride = width / 40
        ends = np.cumsum(np.stack([np.cos(turns), np.sin(turns)], 1) * stride, 0) + rng.random(2) * (width, height)
        ink = tuple(rng.integers(0, 140, 3).tolist())
        pen.line([tuple(end) for end in ends.tolist()], fill=ink, width=int(rng.integers(1, 5)), joint="curve")
    return image


def _hatching(rng: Generator, width: int, height: int) -> Image.Image:
    """Hatch a wash of colour by many short strokes of one slant, each a little off."""
    image = _gradient(rng, width, height)
    pen, slant = ImageDraw.Draw(image), rng.uniform(0, np.pi)
    for x, y in (rng.random((int(rng.integers(150, 500)), 2)) * (width, height)).tolist():
        angle, reach = slant + rng.normal(0, 0.15), rng.uniform(8, 40)
        ends = (x, y, x + reach * np.cos(angle), y + reach * np.sin(angle))
        pen.line(ends, fill=tuple(rng.integers(0, 256, 3).tolist()), width=int(rng.integers(1, 3)))
    return image


_KINDS: Mapping[str, Callable[[Generator, int, int], Image.Image]] = {
    "gradient": _gradient,
    "noise": _noise,
    "texture": _texture,
    "drawing": _drawing,
    "blobs": _blobs,
    "cells": _cells,
    "hills": _hills,
    "hatching": _hatching,
}
