"""Painting of a scene: background, shapes, boards and letters, and the place of each letter.

Pillow and numpy alone; any thread or process. The same scene gives the same pixels with the same versions of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw

from model.data.world.fonts import font_with_capitals
from model.data.world.scene import CLUTTER, Box, Rgb, Scene, Shape, Sign

_STRIPES = 9
_SIZED_PX = 192  # height of the image in which letters are called small, medium or large
_SIZES_PX = (16, 27)  # heights that part them
_NOISE = 16  # most that a noisy background's brightness strays


@dataclass(frozen=True, slots=True)
class Letter:
    """Painted letter of a sign, and the box of its ink in shares of the image."""

    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class Picture:
    """Painted scene; `letters` of each of its signs."""

    image: Image.Image
    letters: tuple[tuple[Letter, ...], ...]


def paint(scene: Scene) -> Picture:
    """Draw the scene at its own size, RGB."""
    image = _background(scene)
    pen = ImageDraw.Draw(image)
    for shape in scene.shapes:
        _paint_shape(pen, shape, scene)
    return Picture(image, tuple(paint_sign(pen, sign, scene) for sign in scene.signs))


def letter_size(letters: Sequence[Letter]) -> str:
    """Classify a sign's painted letters as `small`, `medium` or `large`; a sign may be painted smaller than drawn."""
    tallest = max(letter.box.bottom - letter.box.top for letter in letters) * _SIZED_PX
    return "small" if tallest < _SIZES_PX[0] else "medium" if tallest < _SIZES_PX[1] else "large"


def _background(scene: Scene) -> Image.Image:
    size = scene.width_px, scene.height_px
    first, second = (Image.new("RGB", size, tone) for tone in scene.tones)
    upright = scene.seed % 2 == 1
    if scene.background == "gradient":
        ramp = Image.linear_gradient("L")
        return Image.composite(second, first, (ramp.rotate(90) if upright else ramp).resize(size))
    if scene.background == "striped":
        pen, step = ImageDraw.Draw(first), (scene.width_px if upright else scene.height_px) / _STRIPES
        for stripe in range(1, _STRIPES, 2):
            near, far = round(stripe * step), round((stripe + 1) * step) - 1
            pen.rectangle(
                (near, 0, far, scene.height_px) if upright else (0, near, scene.width_px, far), scene.tones[1]
            )
    if scene.background == CLUTTER:
        return _clutter(scene)
    if scene.background == "noisy":
        grain = np.random.default_rng(scene.seed).integers(-_NOISE, _NOISE, size[::-1], dtype=np.int16)
        return Image.fromarray((np.asarray(first, dtype=np.int16) + grain[:, :, None]).clip(0, 255).astype(np.uint8))
    return first


def _clutter(scene: Scene) -> Image.Image:
    """Paint blots of random colours, and a few lines over them."""
    rng, size = np.random.default_rng(scene.seed), (scene.width_px, scene.height_px)
    cells = int(rng.integers(2, 14))
    image = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(0, 12))):
        ends = (rng.random(4) * (*size, *size)).tolist()
        pen.line(ends, fill=tuple(rng.integers(0, 256, 3).tolist()), width=int(rng.integers(1, 5)))
    return image


def _pixels(box: Box, scene: Scene) -> tuple[float, float, float, float]:
    return (
        box.left * scene.width_px,
        box.top * scene.height_px,
        box.right * scene.width_px,
        box.bottom * scene.height_px,
    )


def _paint_shape(pen: ImageDraw.ImageDraw, shape: Shape, scene: Scene) -> None:
    left, top, right, bottom = _pixels(shape.box, scene)
    middle_x, middle_y, width, height = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
    if shape.kind == "rectangle":
        pen.rectangle((left, top, right, bottom), fill=shape.paint)
    elif shape.kind == "circle":
        pen.ellipse((left, top, right, bottom), fill=shape.paint)
    elif shape.kind == "triangle":
        pen.polygon([(left, bottom), (right, bottom), (middle_x, top)], fill=shape.paint)
    elif shape.kind == "star":
        points = []
        for corner in range(10):
            reach = 0.5 if corner % 2 == 0 else 0.2
            angle = pi * corner / 5
            points.append((middle_x + reach * width * sin(angle), middle_y - reach * height * cos(angle)))
        pen.polygon(points, fill=shape.paint)
    else:
        pen.rectangle((left + width / 3, top, right - width / 3, bottom), fill=shape.paint)
        pen.rectangle((left, top + height / 3, right, bottom - height / 3), fill=shape.paint)


def paint_sign(pen: ImageDraw.ImageDraw, sign: Sign, scene: Scene) -> tuple[Letter, ...]:
    """Paint letters side by side in the middle of the sign's box, smaller where a wide font would overrun it."""
    left, top, right, bottom = _pixels(sign.box, scene)
    letter_px = sign.letter_height * scene.height_px
    font = font_with_capitals(sign.font, round(letter_px, 1))
    room = (right - left) - 0.5 * letter_px
    if _width(font, sign.text, letter_px) > room:
        letter_px *= room / _width(font, sign.text, letter_px)
        font = font_with_capitals(sign.font, round(letter_px, 1))
    _, rise, _, fall = font.getbbox("H")
    width = _width(font, sign.text, letter_px)
    x, y = (left + right - width) / 2, (top + bottom) / 2 - (rise + fall) / 2
    if sign.board is not None:
        margin = 0.35 * letter_px
        _paint_board(pen, (x - margin, y + rise - margin, x + width + margin, y + fall + margin), sign.board)
    letters = []
    for text in sign.text:
        pen.text((x, y), text, font=font, fill=sign.ink)
        ink = font.getbbox(text)
        letters.append(Letter(text, _shares((x + ink[0], y + ink[1], x + ink[2], y + ink[3]), scene)))
        x += font.getlength(text) + _tracking(letter_px)
    return tuple(letters)


def _paint_board(pen: ImageDraw.ImageDraw, where: tuple[float, float, float, float], board: Rgb) -> None:
    pen.rectangle(where, fill=board)


def _tracking(letter_px: float) -> float:
    return 0.06 * letter_px


def _width(font: object, text: str, letter_px: float) -> float:
    return sum(font.getlength(letter) + _tracking(letter_px) for letter in text)  # type: ignore[attr-defined]


def _shares(pixels: tuple[float, float, float, float], scene: Scene) -> Box:
    left, top, right, bottom = pixels
    return Box(left / scene.width_px, top / scene.height_px, right / scene.width_px, bottom / scene.height_px)
