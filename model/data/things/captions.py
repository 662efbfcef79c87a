"""Captions of a scene with things, in the wordings of the drawn world's, and the list of a crowd.

Every sentence is true of the scene. Pure.
"""

from __future__ import annotations

from model.data.things.scene import ThingScene
from model.data.things.wording import a
from model.data.world.captions import Told, caption_of, listed, opening, place, sentence, told_shapes
from model.data.world.scene import in_reading_order
from model.prompt import CaptionLength, CaptionStyle


def caption(scene: ThingScene, length: CaptionLength, style: CaptionStyle = "plain") -> str:
    """Write the caption of a scene with things; of a thing no size is told."""
    shapes = told_shapes(scene.behind)
    things = [Told(a(thing.name), a(thing.name), thing.box) for thing in scene.things]
    counts = [(len(things), "thing"), *([(len(shapes), "shape")] if shapes else [])]
    first = opening(counts, scene.behind.background)
    return caption_of(in_reading_order([*things, *shapes]), scene.behind.sign, first, length, style)


def listing(scene: ThingScene) -> str:
    """Name all things, each with its place in front: `At the top a cat and on the right an apple.`."""
    return sentence(listed([f"{place(thing.box)} {a(thing.name)}" for thing in scene.things]))
