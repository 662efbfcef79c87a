"""Sequences of screenshots, drawn: text that is typed, a window that changes, a page that scrolls.

Knows no requests. Pure; a seed gives the same frames on every machine with the same Pillow.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO

from PIL import Image, ImageDraw, ImageFont

from loadtest.images import picture

WORDS = (
    "name",
    "unit",
    "value",
    "time",
    "of",
    "each",
    "field",
    "in",
    "a",
    "table",
    "shown",
    "here",
    "with",
    "last",
    "change",
)
SCREEN_PX = (1440, 900)
_BAR_PX, _SIDE_PX, _LINE_PX = 40, 240, 30
_WINDOW = (860, 520, 1300, 800)  # left, top, right, bottom


def typed(frames: int, seed: int) -> Iterator[bytes]:
    """Draw a screen on which one more word of a line is typed in every frame."""
    for frame in range(frames):
        screen = _screen(seed, scrolled_px=0)
        line = _text(frame + 1, f"{seed} typed")
        draw = ImageDraw.Draw(screen)
        draw.rectangle((_SIDE_PX + 20, 640, SCREEN_PX[0] - 20, 680), fill="white", outline="black")
        draw.text((_SIDE_PX + 30, 650), line, fill="black", font=_font(18))
        yield _file(screen)


def window(frames: int, seed: int) -> Iterator[bytes]:
    """Draw a screen on which the content of one window changes in every frame."""
    for frame in range(frames):
        screen = _screen(seed, scrolled_px=0)
        draw = ImageDraw.Draw(screen)
        draw.rectangle(_WINDOW, fill=(235, 240, 250), outline="black")
        _lines(draw, (_WINDOW[0] + 15, _WINDOW[1] + 10), 8, 5, f"{seed} window {frame}")
        yield _file(screen)


def scrolled(frames: int, seed: int) -> Iterator[bytes]:
    """Draw a page that is scrolled by some lines in every frame."""
    for frame in range(frames):
        yield _file(_screen(seed, scrolled_px=frame * 3 * _LINE_PX))


def unrelated(frames: int, seed: int) -> Iterator[bytes]:
    """Draw pictures that have nothing in common: what every frame costs where images are cached whole."""
    for frame in range(frames):
        yield picture(f"{seed} unrelated {frame}", "PNG", *SCREEN_PX)


SEQUENCES: Mapping[str, Callable[[int, int], Iterator[bytes]]] = {
    "typed": typed,
    "window": window,
    "scrolled": scrolled,
    "unrelated": unrelated,
}


def _screen(seed: int, scrolled_px: int) -> Image.Image:
    """Draw a title bar and a side bar, which stay, and a page of text."""
    screen = Image.new("RGB", SCREEN_PX, "white")
    draw = ImageDraw.Draw(screen)
    first, shift = divmod(scrolled_px, _LINE_PX)
    for line in range(SCREEN_PX[1] // _LINE_PX + 1):
        at = (_SIDE_PX + 20, _BAR_PX + 10 + line * _LINE_PX - shift)
        _lines(draw, at, 1, 22, f"{seed} page {first + line}")
    draw.rectangle((0, 0, SCREEN_PX[0], _BAR_PX), fill=(60, 70, 90))
    draw.text((15, 10), "File   Edit   View   Window   Help", fill="white", font=_font(18))
    draw.rectangle((0, _BAR_PX, _SIDE_PX, SCREEN_PX[1]), fill=(225, 228, 235))
    _lines(draw, (15, _BAR_PX + 15), 20, 2, f"{seed} side")
    return screen


def _lines(draw: ImageDraw.ImageDraw, at: tuple[int, int], lines: int, words: int, name: str) -> None:
    for line in range(lines):
        draw.text((at[0], at[1] + line * _LINE_PX), _text(words, f"{name} {line}"), fill="black", font=_font(18))


def _text(words: int, name: str) -> str:
    """Draw words by lot; a longer text of a name begins with the shorter ones."""
    chance = random.Random(name)  # noqa: S311 - no secrets here
    return " ".join(chance.choice(WORDS) for _ in range(words))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _file(screen: Image.Image) -> bytes:
    file = BytesIO()
    screen.save(file, "PNG")
    return file.getvalue()
