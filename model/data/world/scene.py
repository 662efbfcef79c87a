"""Scenes of the synthetic world: shapes, perhaps a sign, a background; drawn from a random generator, not from pixels.

Owns the world's colours and shapes, and where things stand; `sign_texts.py` draws what signs say. Knows neither how a
scene is painted (`paint.py`) nor what is said about it (`captions.py`, `questions.py`). Pure: the same generator state
gives the same scene on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol, TypeVar

from model.data.world.sign_texts import SignTexts, sign_text

Rgb = tuple[int, int, int]

COLOURS: dict[str, Rgb] = {  # the eight of easy-VQA as it paints them, and four more
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "teal": (0, 128, 128),
    "black": (0, 0, 0),
    "brown": (165, 42, 42),
    "gray": (128, 128, 128),
    "orange": (255, 150, 0),
    "purple": (130, 0, 190),
    "pink": (255, 130, 200),
    "white": (255, 255, 255),
}
SHAPES = ("rectangle", "circle", "triangle", "star", "cross")
BACKGROUNDS = ("plain", "gradient", "striped", "noisy")
CLUTTER = "cluttered"  # blots and lines with nothing on them that has a name: what is outside this world looks so
_TOY_PX = 64  # side of easy-VQA's pictures, too coarse for a sign
SMALLEST_LETTER = 10 / 192  # height of a capital letter as a share of the image's height
LARGEST_LETTER = 44 / 192
_EASY_LETTER = (16 / 192, 26 / 192)  # the range that letters are learned on first
_ADVANCE = 0.86  # of a capital letter's height, a generous mean over the fonts
_CLUTTERED = 0.04  # share of the scenes that are clutter alone
_CLEAR = 110.0  # RGB distance that tells a shape from what lies behind it
_LEGIBLE = 75.0  # difference in lightness that tells a letter from what lies behind it


@dataclass(frozen=True, slots=True)
class Box:
    """Rectangle in shares of the image's width and height."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def centre(self) -> tuple[float, float]:
        """Centre of the box, as (x, y)."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    @property
    def area(self) -> float:
        """Area of the box as a share of the image."""
        return (self.right - self.left) * (self.bottom - self.top)

    def meets(self, other: Box, gap: float) -> bool:
        """Return whether two boxes come nearer than `gap`."""
        return (
            self.left < other.right + gap
            and other.left < self.right + gap
            and self.top < other.bottom + gap
            and other.top < self.bottom + gap
        )


@dataclass(frozen=True, slots=True)
class Shape:
    """Coloured shape; `paint` is its exact colour."""

    kind: str
    colour: str
    paint: Rgb
    box: Box


@dataclass(frozen=True, slots=True)
class Sign:
    """Text on a board, or on the bare background if `board` is None; `font` indexes the list of fonts."""

    text: str
    font: int
    ink: Rgb
    board: Rgb | None
    letter_height: float
    box: Box


class Boxed(Protocol):
    """Whatever stands somewhere in a scene."""

    @property
    def box(self) -> Box:
        """Rectangle that it takes."""
        ...


Standing = TypeVar("Standing", bound=Boxed)


@dataclass(frozen=True, slots=True)
class Scene:
    """Shapes in reading order and signs, at most one in an ordinary scene, on a background of two colours."""

    width_px: int
    height_px: int
    background: str
    tones: tuple[Rgb, Rgb]
    shapes: tuple[Shape, ...]
    signs: tuple[Sign, ...]
    seed: int

    @property
    def sign(self) -> Sign | None:
        """The only sign of an ordinary scene."""
        return self.signs[0] if self.signs else None


def distance(one: Rgb, other: Rgb) -> float:
    """Compute the Euclidean distance of two colours in RGB."""
    return float(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5)


def lightness(colour: Rgb) -> float:
    """Compute perceived lightness from 0 to 255 (ITU-R BT.601 luma)."""
    red, green, blue = colour
    return 0.299 * red + 0.587 * green + 0.114 * blue


def draw_scene(rng: Random, easy: float = 0.0, texts: SignTexts = sign_text) -> Scene:
    """Draw one random scene.

    Args:
        rng: where every choice comes from.
        easy: share of signs in plain black on white, of one size and face; 0 for the world as it is.
        texts: draws what a sign says.
    """
    tones = _tones(rng)
    if rng.random() < _CLUTTERED:
        return Scene(*_sides(rng), CLUTTER, tones, (), (), rng.getrandbits(32))
    width_px, height_px = _sides(rng)
    signed = rng.random() < 0.65 and height_px > _TOY_PX
    signs = (draw_sign(rng, tones, easy, texts),) if signed else ()
    count = rng.choice((0, 1, 1, 1, 2, 2, 3, 4) if signed else (1, 1, 2, 2, 3, 3, 4))
    shapes = _shapes(rng, tones, count, [sign.box for sign in signs])
    return Scene(width_px, height_px, rng.choice(BACKGROUNDS), tones, shapes, signs, rng.getrandbits(32))


def draw_crowd(rng: Random, easy: float = 0.0, tries: int = 12, texts: SignTexts = sign_text) -> Scene:
    """Draw a scene full of signs, to learn letters from: as many of `tries` as find a place, and a shape or two."""
    tones = _tones(rng)
    signs: list[Sign] = []
    for _ in range(tries):
        sign = draw_sign(rng, tones, easy, texts)
        if not any(sign.box.meets(other.box, 0.01) for other in signs):
            signs.append(sign)
    shapes = _shapes(rng, tones, rng.randint(0, 3), [sign.box for sign in signs])
    side = rng.randint(176, 260)
    return Scene(side, side, rng.choice(BACKGROUNDS), tones, shapes, tuple(signs), rng.getrandbits(32))


def _shapes(rng: Random, tones: tuple[Rgb, Rgb], count: int, taken: list[Box]) -> tuple[Shape, ...]:
    shapes: list[Shape] = []
    for _ in range(count):
        shape = _shape(rng, tones, [*taken, *(other.box for other in shapes)])
        if shape is not None:
            shapes.append(shape)
    return in_reading_order(shapes)


def _sides(rng: Random) -> tuple[int, int]:
    if rng.random() < 0.15:
        return _TOY_PX, _TOY_PX
    width = rng.randint(176, 320)
    return width, max(176, min(320, round(width * rng.choice((1.0, 1.0, 0.75, 1.33)))))


def _tones(rng: Random) -> tuple[Rgb, Rgb]:
    """Draw two near colours: mostly pale as in easy-VQA, sometimes dark or in between."""
    low, high = rng.choice(((225, 255), (225, 255), (150, 240), (20, 110)))
    first = rng.randint(low, high), rng.randint(low, high), rng.randint(low, high)
    return first, _near(rng, first, 30)


def _shape(rng: Random, tones: tuple[Rgb, Rgb], taken: list[Box]) -> Shape | None:
    """Draw a shape with a free place for itself; None if there was none in a few tries."""
    seen = [name for name, paint in COLOURS.items() if min(distance(paint, tone) for tone in tones) > _CLEAR]
    kind, colour = rng.choice(SHAPES), rng.choice(seen)
    paint = _near(rng, COLOURS[colour], 10)
    for _ in range(12):
        width = rng.uniform(0.12, 0.36)
        height = width * rng.uniform(0.5, 2.0) if kind == "rectangle" else width
        box = _place(rng, width, min(height, 0.5))
        if not any(box.meets(other, 0.02) for other in taken):
            return Shape(kind, colour, paint, box)
    return None


def _near(rng: Random, colour: Rgb, reach: int) -> Rgb:
    red, green, blue = (min(255, max(0, part + rng.randint(-reach, reach))) for part in colour)
    return red, green, blue


def _place(rng: Random, width: float, height: float) -> Box:
    left, top = rng.uniform(0.01, 0.99 - width), rng.uniform(0.01, 0.99 - height)
    return Box(left, top, left + width, top + height)


def draw_sign(rng: Random, tones: tuple[Rgb, Rgb], easy: float = 0.0, texts: SignTexts = sign_text) -> Sign:
    """Draw a sign that can be read on a background of these tones; `easy` and `texts` as for `draw_scene`."""
    text = texts(rng)
    smallest = SMALLEST_LETTER + easy * (_EASY_LETTER[0] - SMALLEST_LETTER)
    largest = LARGEST_LETTER + easy * (_EASY_LETTER[1] - LARGEST_LETTER)
    height = smallest * (largest / smallest) ** rng.random()  # evenly over the ratios
    height = min(height, 0.9 / (len(text) * _ADVANCE))
    font, board, ink = rng.getrandbits(16), *_inks(rng, tones)
    if rng.random() < easy:
        font, board, ink = rng.randrange(2), (255, 255, 255), (0, 0, 0)
    box = _place(rng, min(0.97, (len(text) * _ADVANCE + 0.6) * height), 1.9 * height)
    return Sign(text, font, ink, board, height, box)


def _inks(rng: Random, tones: tuple[Rgb, Rgb]) -> tuple[Rgb | None, Rgb]:
    """Draw colours of a board, or none, and of letters that can be read on it."""
    board = _any_colour(rng) if rng.random() < 0.6 else None
    behind = tones if board is None else (board,)
    ink = rng.choice(tuple(COLOURS.values()))
    while min(abs(lightness(ink) - lightness(tone)) for tone in behind) < _LEGIBLE:
        ink = _any_colour(rng)
    return board, ink


def _any_colour(rng: Random) -> Rgb:
    return rng.randint(0, 255), rng.randint(0, 255), rng.randint(0, 255)


def in_reading_order(things: Sequence[Standing]) -> tuple[Standing, ...]:
    """Sort from top to bottom in three bands, from left to right within a band."""
    return tuple(sorted(things, key=lambda thing: (int(thing.box.centre[1] * 3), thing.box.centre[0])))
