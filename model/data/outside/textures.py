"""Textures: surfaces without a thing on them, as noise, soft colours, stone, bricks, fur and pebbles.

Their edges and strokes look like letters to a model that knows few pictures. Drawn from a random generator without end.
Pillow and numpy alone; any thread or process.
"""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, sin
from random import Random

import numpy as np
from PIL import Image, ImageDraw

Size = tuple[int, int]


def noise(rng: Random, size: Size) -> Image.Image:
    """Draw independent pixels, grey or coloured, strong or weak."""
    source, channels = np.random.default_rng(rng.getrandbits(32)), rng.choice((1, 3))
    grain = source.normal(rng.uniform(60, 200), rng.uniform(10, 90), (size[1], size[0], channels))
    return _image(np.broadcast_to(grain, (size[1], size[0], 3)))


def soft(rng: Random, size: Size) -> Image.Image:
    """Draw a few colours that run into each other; with one cell it is a blank sheet."""
    cells = rng.choice((1, 2, 2, 3, 4, 6, 9))
    source = np.random.default_rng(rng.getrandbits(32))
    colours = source.integers(0, 256, (cells, rng.choice((1, cells)), 3), dtype=np.uint8)
    return Image.fromarray(colours).resize(size, Image.Resampling.BICUBIC)


def texture(rng: Random, size: Size) -> Image.Image:
    """Sum noise of several grains, stretched along one axis now and then: stone, clouds, cloth, wood."""
    source, total = np.random.default_rng(rng.getrandbits(32)), np.zeros((size[1], size[0]))
    stretch, roughness = rng.choice((1, 1, 1, 6, 16)), rng.uniform(0.4, 0.9)
    for octave in range(1, 8):
        cells = 2**octave
        layer = source.normal(0, 1, (max(1, cells // stretch), cells)).astype(np.float32)
        total += roughness**octave * np.asarray(Image.fromarray(layer).resize(size, Image.Resampling.BICUBIC))
    share = (total - total.min()) / (np.ptp(total) + 1e-6)
    dark, light = source.integers(0, 140, 3), source.integers(110, 256, 3)
    return _image(dark + share[:, :, None] * (light - dark))


def bricks(rng: Random, size: Size) -> Image.Image:
    """Lay rows of bricks, tiles or planks with joints between them, and a rough surface over all."""
    height = rng.uniform(8, 48)
    width, joint = height * rng.choice((1, 2, 2.4, 3, 8)), max(1.0, height * rng.uniform(0.03, 0.2))
    mortar, brick = any_colour(rng, 0, 255), any_colour(rng, 20, 235)
    image, reach = Image.new("RGB", size, mortar), rng.randint(4, 40)
    pen, shift = ImageDraw.Draw(image), rng.choice((0.0, 0.5, 0.5, 0.33))
    for row in range(-1, int(size[1] / height) + 2):
        x = -width * (1 + row * shift % 1)
        while x < size[0]:
            tone = tuple(max(0, min(255, part + rng.randint(-reach, reach))) for part in brick)
            pen.rectangle((x, row * height, x + width - joint, (row + 1) * height - joint), fill=tone)
            x += width
    turned = image.rotate(rng.choice((0, 0, 90, rng.uniform(-20, 20))), Image.Resampling.BILINEAR, fillcolor=mortar)
    return Image.blend(turned, texture(rng, size), rng.uniform(0.05, 0.45))


def strokes(rng: Random, size: Size) -> Image.Image:
    """Draw thousands of short strokes that follow a slowly turning direction: fur, grass, hair, straw."""
    dark, light = any_colour(rng, 0, 140), any_colour(rng, 100, 255)
    image = Image.new("RGB", size, dark)
    pen, source = ImageDraw.Draw(image), np.random.default_rng(rng.getrandbits(32))
    length, width = rng.uniform(4, 24), rng.choice((1, 1, 2, 3))
    angles = Image.fromarray(source.normal(rng.uniform(0, 2 * pi), rng.uniform(0.1, 1.2), (4, 4)).astype(np.float32))
    angles = angles.resize(size, Image.Resampling.BICUBIC)
    for x, y, share, jitter in zip(
        *(part.tolist() for part in (*source.uniform(0, 1, (3, 2500)), source.normal(0, 0.2, 2500))), strict=True
    ):
        here = int(x * size[0]), int(y * size[1])
        angle = angles.getpixel(here) + jitter
        tone = tuple(round(low + share * (high - low)) for low, high in zip(dark, light, strict=True))
        pen.line((*here, here[0] + length * cos(angle), here[1] + length * sin(angle)), fill=tone, width=width)
    return image


def pebbles(rng: Random, size: Size) -> Image.Image:
    """Shade the cells nearest to scattered points: pebbles, leather, leaves, cracked earth."""
    count, coarse = rng.randint(12, 160), 2
    source, (columns, rows) = np.random.default_rng(rng.getrandbits(32)), (size[0] // coarse, size[1] // coarse)
    points = source.uniform(0, 1, (count, 2)) * (columns, rows)
    y, x = np.mgrid[0:rows, 0:columns]
    distances = (x[:, :, None] - points[:, 0]) ** 2 + ((y[:, :, None] - points[:, 1]) * rng.uniform(0.5, 2)) ** 2
    nearest = np.sort(np.sqrt(np.partition(distances, 1, axis=2)[:, :, :2]), axis=2)
    edge = np.clip((nearest[:, :, 1] - nearest[:, :, 0]) / rng.uniform(2, 12), 0, 1)
    base, spread = source.integers(20, 235, 3), rng.uniform(3, 60)
    tones = np.clip(base + source.normal(0, spread, (count, 1)) + source.normal(0, spread / 4, (count, 3)), 0, 255)
    levels = tones[distances.argmin(axis=2)] * (rng.uniform(0, 0.7) + (1 - rng.uniform(0, 0.7)) * edge[:, :, None])
    return _image(levels).resize(size, Image.Resampling.BICUBIC)


TEXTURES: tuple[Callable[[Random, Size], Image.Image], ...] = (
    noise, soft, soft, texture, texture, texture, bricks, bricks, strokes, strokes, pebbles,
)  # fmt: skip


def any_colour(rng: Random, low: int, high: int) -> tuple[int, int, int]:
    """Draw a colour whose parts lie between two levels."""
    return rng.randint(low, high), rng.randint(low, high), rng.randint(low, high)


def _image(levels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))
