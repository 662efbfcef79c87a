"""Pictures of nothing that has a name here: textures, scribbles, blots, round bodies, pages of text, screens, charts.

Drawn from a random generator without end. Pillow and numpy alone; any thread or process.
"""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, sin
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from model.data.outside.textures import TEXTURES, Size, any_colour, noise, soft, texture
from model.data.world.fonts import font_with_capitals

_PALE = (225, 255)
_LETTERS = "etaoinshrdlucmfwypvbgkjqxz"


def drawn(rng: Random, size: Size) -> Image.Image:
    """Draw one picture of a random kind, RGB."""
    return rng.choice(KINDS)(rng, size)


def scribble(rng: Random, size: Size) -> Image.Image:
    """Draw lines, arcs and outlines with a pen."""
    image = Image.new("RGB", size, any_colour(rng, *_PALE) if rng.random() < 0.7 else any_colour(rng, 0, 255))
    pen, ink = ImageDraw.Draw(image), any_colour(rng, 0, 140)
    for _ in range(rng.randint(2, 40)):
        ink = any_colour(rng, 0, 255) if rng.random() < 0.3 else ink
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
    image = Image.new("RGB", size, any_colour(rng, 0, 255))
    for _ in range(rng.randint(3, 25)):
        mask, source = Image.new("L", (24, 24)), np.random.default_rng(rng.getrandbits(32))
        ImageDraw.Draw(mask).polygon([tuple(point) for point in source.uniform(0, 24, (rng.randint(5, 9), 2))], 255)
        side = rng.randint(size[0] // 10, size[0] // 2)
        mask = mask.resize((side, side)).filter(ImageFilter.GaussianBlur(side / 14))
        if rng.random() < 0.6:
            mask = mask.point(lambda value: 255 if value > 110 else 0)
        image.paste(any_colour(rng, 0, 255), (rng.randint(-side // 2, size[0]), rng.randint(-side // 2, size[1])), mask)
    return image


def bodies(rng: Random, size: Size) -> Image.Image:
    """Draw shaded round bodies, mostly with a halo: cells, planets, bubbles, balls, lamps out of focus.

    The world's circles are flat; these are lit from a side, grow darker or lighter towards their rim, or are rough.
    """
    columns, rows = size
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float64)
    behind = rng.choice((noise, soft, soft, texture, texture))(rng, size)
    levels = np.asarray(Image.blend(Image.new("RGB", size, any_colour(rng, 0, 255)), behind, rng.uniform(0.05, 0.6)))
    rough, grown = np.asarray(texture(rng, size)) / 255.0, rng.uniform(0.04, 0.3) * min(size)
    for _ in range(rng.choice((1, 1, 2, 3, 5, 9, 20))):
        radius, stretch = grown * rng.uniform(0.6, 1.4), rng.choice((1.0, 1.0, rng.uniform(0.7, 1.0)))
        across, down = x - rng.uniform(0, columns), (y - rng.uniform(0, rows)) / stretch
        away = np.hypot(across, down) / radius  # 1 at the rim
        turn = rng.uniform(0, 2 * pi)
        lit = rng.uniform(-0.1, 0.5) * (across * cos(turn) + down * sin(turn)) / radius
        share = 1 + lit - rng.choice((-0.4, 0.2, 0.5, 0.8)) * np.minimum(away, 1) ** 2
        share *= 1 - rng.uniform(0.0, 0.6) * (1 - rough.mean(axis=2))
        halo = 1 - rng.choice((0.0, 0.4, 0.8, -0.6)) * np.exp(-(((away - 1) / rng.uniform(0.1, 0.5)) ** 2))
        cover = np.clip((1 - away) * radius / rng.uniform(1, 6) + 0.5, 0, 1)[:, :, None]
        body = np.asarray(any_colour(rng, 40, 255)) * share[:, :, None]
        levels = np.clip(levels * halo[:, :, None] * (1 - cover) + body * cover, 0, 255)
    image = Image.fromarray(levels.astype(np.uint8))
    return ImageOps.grayscale(image).convert("RGB") if rng.random() < 0.6 else image


def page(rng: Random, size: Size) -> Image.Image:
    """Set lines of small running text, as on a page, a letter or a till slip."""
    paper, ink = any_colour(rng, 200, 255), any_colour(rng, 0, 90)
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
    image = Image.new("RGB", size, any_colour(rng, 20, 245))
    pen = ImageDraw.Draw(image)
    for _ in range(rng.randint(2, 6)):
        left, top = rng.uniform(-0.1, 0.6) * size[0], rng.uniform(-0.1, 0.6) * size[1]
        right, bottom = left + rng.uniform(0.3, 0.8) * size[0], top + rng.uniform(0.3, 0.8) * size[1]
        pen.rectangle((left, top, right, bottom), fill=any_colour(rng, *_PALE), outline=any_colour(rng, 0, 200))
        pen.rectangle((left, top, right, top + 8), fill=any_colour(rng, 0, 255))
        height = rng.uniform(4, 7)
        font, y = font_with_capitals(rng.getrandbits(16), round(height, 1)), top + 12.0
        while y < bottom - 2 * height:
            line = _sentence(rng, max(3, int((right - left) / height * rng.uniform(0.3, 1.1))))
            pen.text((left + 5, y), line, font=font, fill=any_colour(rng, 0, 110))
            y += 2.4 * height
    return image


def bars(rng: Random, size: Size) -> Image.Image:
    """Draw a chart: bars or curves between axes."""
    image, pen = (made := Image.new("RGB", size, any_colour(rng, *_PALE))), ImageDraw.Draw(made)
    low, left = size[1] * 0.9, size[0] * 0.1
    pen.line((left, size[1] * 0.08, left, low, size[0] * 0.95, low), fill=(40, 40, 40), width=2)
    count = rng.randint(6, 24)
    step = size[0] * 0.84 / count
    tops = [low - rng.uniform(0.05, 0.8) * size[1] for _ in range(count)]
    if rng.random() < 0.5:
        ink = any_colour(rng, 0, 255)
        for place, top in enumerate(tops):
            pen.rectangle((left + place * step + 2, top, left + (place + 0.7) * step + 2, low), fill=ink)
    else:
        for _ in range(rng.randint(1, 4)):
            points = [(left + place * step, top + rng.uniform(-30, 30)) for place, top in enumerate(tops)]
            pen.line(points, fill=any_colour(rng, 0, 255), width=rng.randint(1, 3))
    return image


KINDS: tuple[Callable[[Random, Size], Image.Image], ...] = (
    *TEXTURES, scribble, scribble, blots, bodies, bodies, bodies, bodies, page, page, screen, bars,
)  # fmt: skip


def _sentence(rng: Random, length: int) -> str:
    said = ""
    while len(said) < length:
        word = "".join(rng.choice(_LETTERS[: rng.randint(6, 26)]) for _ in range(rng.randint(1, 9)))
        said += f" {word.capitalize() if rng.random() < 0.12 else word}"
    return said.strip()
