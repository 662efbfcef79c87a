"""Captions of a scene: three lengths, and the one that must tell the text.

Every sentence is true of the scene and follows from it alone, up to the choice among a few wordings. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from model.data.samples import Turn
from model.data.world.scene import Box, Scene, Shape, Sign
from model.prompt import CaptionLength, CaptionStyle, caption_instruction

NOTHING = "I see no shape or sign that I know."
_COUNTS = ("no", "one", "two", "three", "four")
_ROWS = ("top", "", "bottom")
_COLUMNS = ("left", "", "right")
_SMALL = 0.02  # share of the image below which a shape is called small
_LARGE = 0.07
# A model this small sees no faint stripes and gradients: taught to name every background, it guessed all but these two.
_NAMED_BACKGROUNDS = ("noisy", "photograph")


def place(box: Box) -> str:
    """Name a place on a three by three grid: `at the top left`, `in the center`."""
    x, y = box.centre
    words = " ".join(word for word in (_ROWS[int(y * 3)], _COLUMNS[int(x * 3)]) if word)
    if not words:
        return "in the center"
    return f"on the {words}" if words in _COLUMNS else f"at the {words}"


def named(shape: Shape) -> str:
    """Name a shape: `red circle`."""
    return f"{shape.colour} {shape.kind}"


def article(words: str) -> str:
    """Name a shape with its article: `a red circle`, `an orange star`."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def listed(parts: list[str]) -> str:
    """Join words into a list: `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def sentence(words: str) -> str:
    """Add a capital letter in front and a full stop behind."""
    return words[0].upper() + words[1:] + "."


def caption_turn(scene: Scene, rng: Random) -> Turn:
    """Build a turn that asks for a caption of one length or style."""
    length: CaptionLength = rng.choice(("short", "normal", "long"))
    style: CaptionStyle = "scene_text" if rng.random() < 0.2 else "plain"
    return Turn(caption_instruction(length, style), caption(scene, length, style))


def caption(scene: Scene, length: CaptionLength, style: CaptionStyle = "plain") -> str:
    """Write the caption of a scene: one wording each, so that its words can be checked one by one."""
    if scene.sign is None and not scene.shapes:
        return NOTHING
    told = told_shapes(scene)
    return caption_of(told, scene.sign, opening([(len(told), "shape")], scene.background), length, style)


@dataclass(frozen=True, slots=True)
class Told:
    """Words for something in a scene, with their article, alone and with its size, and where it stands."""

    words: str
    sized: str
    box: Box


def told_shapes(scene: Scene) -> list[Told]:
    """Put the shapes of a scene into words, in their order."""
    return [Told(article(named(shape)), article(_sized(shape)), shape.box) for shape in scene.shapes]


def opening(counts: Sequence[tuple[int, str]], background: str) -> str:
    """Write the first sentence of a long caption, which counts what is there.

    >>> opening([(1, "thing"), (2, "shape")], "noisy")
    'The picture shows one thing and two shapes on a noisy background.'
    """
    parts = [f"{_COUNTS[count]} {noun if count == 1 else f'{noun}s'}" for count, noun in counts]
    behind = f" on a {background} background" if background in _NAMED_BACKGROUNDS else ""
    return f"The picture shows {listed(parts)}{behind}."


def caption_of(
    told: Sequence[Told], sign: Sign | None, first: str, length: CaptionLength, style: CaptionStyle = "plain"
) -> str:
    """Write a caption of things in words.

    Args:
        told: in reading order; empty for a sign alone.
        sign: the only one of the scene.
        first: sentence with which a long caption begins.
        length: how much is told.
        style: `scene_text` for one sentence about the text.
    """
    if style == "scene_text":
        return _scene_text([each.words for each in told], sign)
    if length == "long":
        said = [first, *(sentence(f"{each.sized} is {place(each.box)}") for each in told)]
        said.append("There is no sign." if sign is None else f'The sign {place(sign.box)} reads "{sign.text}".')
        return " ".join(said)
    is_short = length == "short"
    parts = [each.words if is_short else f"{each.words} {place(each.box)}" for each in told]
    if sign is not None:
        parts.append(f'a sign{"" if is_short else f" {place(sign.box)}"} that reads "{sign.text}"')
    return sentence(listed(parts))


def _scene_text(words: list[str], sign: Sign | None) -> str:
    if sign is None:
        return sentence(f"{listed(words)} without any text")
    beside = f" beside {listed(words)}" if words else ""
    return sentence(f'a sign that reads "{sign.text}"{beside}')


def _sized(shape: Shape) -> str:
    if shape.box.area < _SMALL:
        return f"small {named(shape)}"
    return f"large {named(shape)}" if shape.box.area > _LARGE else named(shape)
