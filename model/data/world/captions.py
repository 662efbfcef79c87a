"""Captions of a scene: three lengths, and the one that must tell the text.

Every sentence is true of the scene and follows from it alone, up to the choice among a few wordings. Pure.
"""

from __future__ import annotations

from random import Random

from model.data.samples import Turn
from model.data.world.scene import Box, Scene, Shape
from model.prompt import CaptionLength, CaptionStyle, caption_instruction

NOTHING = "I see no shape or sign that I know."
_COUNTS = ("no", "one", "two", "three", "four")
_ROWS = ("top", "", "bottom")
_COLUMNS = ("left", "", "right")
_SMALL = 0.02  # share of the image below which a shape is called small
_LARGE = 0.07
# A model this small sees no faint stripes and gradients: taught to name every background, it guessed all but these two.
NAMED_BACKGROUNDS = ("noisy", "photograph")


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
    if style == "scene_text":
        return _scene_text(scene)
    return {"short": _short, "normal": _normal, "long": _long}[length](scene)


def _short(scene: Scene) -> str:
    parts = [article(named(shape)) for shape in scene.shapes]
    if scene.sign is not None:
        parts.append(f'a sign that reads "{scene.sign.text}"')
    return sentence(listed(parts))


def _normal(scene: Scene) -> str:
    parts = [f"{article(named(shape))} {place(shape.box)}" for shape in scene.shapes]
    if scene.sign is not None:
        parts.append(f'a sign {place(scene.sign.box)} that reads "{scene.sign.text}"')
    return sentence(listed(parts))


def _long(scene: Scene) -> str:
    count = len(scene.shapes)
    behind = f" on a {scene.background} background" if scene.background in NAMED_BACKGROUNDS else ""
    said = [f"The picture shows {_COUNTS[count]} {'shape' if count == 1 else 'shapes'}{behind}."]
    said += [sentence(f"{article(_sized(shape))} is {place(shape.box)}") for shape in scene.shapes]
    if scene.sign is None:
        said.append("There is no sign.")
    else:
        said.append(f'The sign {place(scene.sign.box)} reads "{scene.sign.text}".')
    return " ".join(said)


def _sized(shape: Shape) -> str:
    if shape.box.area < _SMALL:
        return f"small {named(shape)}"
    return f"large {named(shape)}" if shape.box.area > _LARGE else named(shape)


def _scene_text(scene: Scene) -> str:
    if scene.sign is None:
        return sentence(f"{listed([article(named(shape)) for shape in scene.shapes])} without any text")
    beside = f" beside {listed([article(named(shape)) for shape in scene.shapes])}" if scene.shapes else ""
    return sentence(f'a sign that reads "{scene.sign.text}"{beside}')
