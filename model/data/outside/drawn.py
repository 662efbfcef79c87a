"""Pictures of nothing that has a name here: noise, soft colours, textures, scribbles, pages of small text, screens.

Drawn from a random generator without end. Pillow and numpy alone; any thread or process.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from model.data.world.fonts import font_with_capitals

Size = tuple[int, int]
_PALE = (225, 255)
_LETTERS = "etaoinshrdlucmfwypvbgkjqxz"


def drawn(rng: Random, size: Size) -> Image.Image:
    """Draw one picture of a random kind, RGB."""
    return rng.choice(KINDS)(rng, size)


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


def scribble(rng: Random, size: Size) -> Image.Image:
    """Draw lines, arcs and outlines with a pen."""
    image = Image.new("RGB", size, _colour(rng, *_PALE) if rng.random() < 0.7 else _colour(rng, 0, 255))
    pen, ink = ImageDraw.Draw(image), _colour(rng, 0, 140)
    for _ in range(rng.randint(2, 40)):
        ink = _colour(rng, 0, 255) if rng.random() < 0.3 else ink
        points = [(rng.uniform(0, size[0]), rng.uniform(0, size[1])) for _ in range(rng.randint(2, 6))]
        width, (x, y) = rng.randint(1, 4), points[0]
        reach = rng.uniform(4, size[0] / 3)
        box = (x - reach, y - reach * rng.uniform(0.3, 1), x + reach, y + reach)
        if rng.random() < 0.4:
            pen.arc(box, rng.uniform(0, 360), rng.uniform(0, 360), fill=ink, width=width)
        else:
            pen.line(points, fill=ink, width=width, joint="curve")
    return image


def blots(rng: Random, size: Size) -> Image.Image:
    """Draw rounded patches without a name, soft at their edges or not."""
    image = Image.new("RGB", size, _colour(rng, 0, 255))
    for _ in range(rng.randint(3, 25)):
        mask, source = Image.new("L", (24, 24)), np.random.default_rng(rng.getrandbits(32))
        ImageDraw.Draw(mask).polygon([tuple(point) for point in source.uniform(0, 24, (rng.randint(5, 9), 2))], 255)
        side = rng.randint(size[0] // 10, size[0] // 2)
        mask = mask.resize((side, side)).filter(ImageFilter.GaussianBlur(side / 14))
        if rng.random() < 0.6:
            mask = mask.point(lambda value: 255 if value > 110 else 0)
        image.paste(_colour(rng, 0, 255), (rng.randint(-side // 2, size[0]), rng.randint(-side // 2, size[1])), mask)
    return image


def page(rng: Random, size: Size) -> Image.Image:
    """Set lines of small running text, as on a page, a letter or a till slip."""
    paper, ink = _colour(rng, 200, 255), _colour(rng, 0, 90)
    if rng.random() < 0.2:
        paper, ink = ink, paper
    image, font_number = Image.new("RGB", size, paper), rng.getrandbits(16)
    height, margin = rng.uniform(4, 11), rng.uniform(0, 0.12) * size[0]
    font, pen, y = font_with_capitals(font_number, round(height, 1)), ImageDraw.Draw(image), margin
    while y < size[1] - margin:
        if rng.random() < 0.88:
            line = _sentence(rng, int((size[0] - 2 * margin) / height * rng.choice((1.4, 1.4, 1.4, 0.7))))
            pen.text((margin, y), line, font=font, fill=ink)
        y += height * 2.1
    return image


def screen(rng: Random, size: Size) -> Image.Image:
    """Draw windows, bars and lists with small text, as on a screen."""
    image = Image.new("RGB", size, _colour(rng, 20, 245))
    pen = ImageDraw.Draw(image)
    for _ in range(rng.randint(2, 6)):
        left, top = rng.uniform(-0.1, 0.6) * size[0], rng.uniform(-0.1, 0.6) * size[1]
        right, bottom = left + rng.uniform(0.3, 0.8) * size[0], top + rng.uniform(0.3, 0.8) * size[1]
        pen.rectangle((left, top, right, bottom), fill=_colour(rng, *_PALE), outline=_colour(rng, 0, 200))
        pen.rectangle((left, top, right, top + 8), fill=_colour(rng, 0, 255))
        height = rng.uniform(4, 7)
        font, y = font_with_capitals(rng.getrandbits(16), round(height, 1)), top + 12.0
        while y < bottom - 2 * height:
            line = _sentence(rng, max(3, int((right - left) / height * rng.uniform(0.3, 1.1))))
            pen.text((left + 5, y), line, font=font, fill=_colour(rng, 0, 110))
            y += 2.4 * height
    return image


def bars(rng: Random, size: Size) -> Image.Image:
    """Draw a chart: bars or curves between axes."""
    image, pen = (made := Image.new("RGB", size, _colour(rng, *_PALE))), ImageDraw.Draw(made)
    low, left = size[1] * 0.9, size[0] * 0.1
    pen.line((left, size[1] * 0.08, left, low, size[0] * 0.95, low), fill=(40, 40, 40), width=2)
    count = rng.randint(6, 24)
    step = size[0] * 0.84 / count
    tops = [low - rng.uniform(0.05, 0.8) * size[1] for _ in range(count)]
    if rng.random() < 0.5:
        ink = _colour(rng, 0, 255)
        for place, top in enumerate(tops):
            pen.rectangle((left + place * step + 2, top, left + (place + 0.7) * step + 2, low), fill=ink)
    else:
        for _ in range(rng.randint(1, 4)):
            points = [(left + place * step, top + rng.uniform(-30, 30)) for place, top in enumerate(tops)]
            pen.line(points, fill=_colour(rng, 0, 255), width=rng.randint(1, 3))
    return image


KINDS: tuple[Callable[[Random, Size], Image.Image], ...] = (
    noise, soft, soft, texture, texture, texture, scribble, scribble, blots, page, page, screen, bars,
)  # fmt: skip


def _sentence(rng: Random, length: int) -> str:
    said = ""
    while len(said) < length:
        word = "".join(rng.choice(_LETTERS[: rng.randint(6, 26)]) for _ in range(rng.randint(1, 9)))
        said += f" {word.capitalize() if rng.random() < 0.12 else word}"
    return said.strip()


def _colour(rng: Random, low: int, high: int) -> tuple[int, int, int]:
    return rng.randint(low, high), rng.randint(low, high), rng.randint(low, high)


def _image(levels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))
