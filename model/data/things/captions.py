"""Captions of a scene with things, in the wordings of the drawn world's, and the list of a crowd.

Every sentence is true of the scene. Pure.
"""

from __future__ import annotations

from model.data.things.scene import Placed, ThingScene
from model.data.things.wording import a
from model.data.world.captions import NAMED_BACKGROUNDS, article, listed, named, place, sentence
from model.data.world.scene import Shape, in_reading_order
from model.prompt import CaptionLength, CaptionStyle

_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def caption(scene: ThingScene, length: CaptionLength, style: CaptionStyle = "plain") -> str:
    """Write the caption of a scene with things."""
    if style == "scene_text":
        return _scene_text(scene)
    return {"short": _short, "normal": _normal, "long": _long}[length](scene)


def listing(scene: ThingScene) -> str:
    """Name all things, each with its place in front: `At the top a cat and on the right an apple.`."""
    return sentence(listed([f"{place(thing.box)} {a(thing.name)}" for thing in scene.things]))


def seen(scene: ThingScene) -> tuple[Placed | Shape, ...]:
    """Return things and shapes in reading order."""
    together: list[Placed | Shape] = [*scene.things, *scene.behind.shapes]
    return in_reading_order(together)


def called(each: Placed | Shape) -> str:
    """Name a thing or a shape with its article: `a cat`, `a red circle`."""
    return article(named(each)) if isinstance(each, Shape) else a(each.name)


def _short(scene: ThingScene) -> str:
    parts = [called(each) for each in seen(scene)]
    if scene.behind.sign is not None:
        parts.append(f'a sign that reads "{scene.behind.sign.text}"')
    return sentence(listed(parts))


def _normal(scene: ThingScene) -> str:
    parts = [f"{called(each)} {place(each.box)}" for each in seen(scene)]
    if scene.behind.sign is not None:
        parts.append(f'a sign {place(scene.behind.sign.box)} that reads "{scene.behind.sign.text}"')
    return sentence(listed(parts))


def _long(scene: ThingScene) -> str:
    shapes, things, sign = len(scene.behind.shapes), len(scene.things), scene.behind.sign
    counts = [f"{_COUNTS[things]} {'thing' if things == 1 else 'things'}"]
    if shapes:
        counts.append(f"{_COUNTS[shapes]} {'shape' if shapes == 1 else 'shapes'}")
    background = scene.behind.background
    behind = f" on a {background} background" if background in NAMED_BACKGROUNDS else ""
    said = [f"The picture shows {listed(counts)}{behind}."]
    said += [sentence(f"{called(each)} is {place(each.box)}") for each in seen(scene)]
    said.append("There is no sign." if sign is None else f'The sign {place(sign.box)} reads "{sign.text}".')
    return " ".join(said)


def _scene_text(scene: ThingScene) -> str:
    parts = listed([called(each) for each in seen(scene)])
    if scene.behind.sign is None:
        return sentence(f"{parts} without any text")
    return sentence(f'a sign that reads "{scene.behind.sign.text}" beside {parts}')
