"""Scenes of everyday things: one to four of them, or a crowd, before a drawn scene or a photograph.

What stands there is the scene's own shapes and sign besides the things. Pure but for the pictures of the things, which
are read from their folder; the same generator state gives the same scene and the same picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from PIL import Image

from model.data.things.pictures import ThingPictures
from model.data.world.paint import paint
from model.data.world.photographed import draw_signs, paint_signs
from model.data.world.scene import CLUTTER, Box, Scene, draw_scene, in_reading_order
from model.data.world.sign_texts import varied_sign_text

_LEAST_PX = 176  # shorter side of a scene
_SIDES = (0.2, 0.62)  # longer side of a thing as a share of the image's shorter one
_CROWDED = (0.16, 0.32)
_BARE = 0.6  # share of drawn scenes without shapes and sign
_SIGNED = 0.25  # share of photographs with a sign on them
_TRIES = 12
_GAP = 0.015


@dataclass(frozen=True, slots=True)
class Placed:
    """Thing and where it stands."""

    name: str
    box: Box


@dataclass(frozen=True, slots=True)
class ThingScene:
    """Things in reading order, before a drawn scene or a photograph, whose shapes and sign are seen, too."""

    behind: Scene
    things: tuple[Placed, ...]


def draw_things(
    rng: Random,
    pictures: ThingPictures,
    names: Sequence[str],
    photograph: Image.Image | None = None,
    crowded: bool = False,
) -> tuple[ThingScene, Image.Image]:
    """Draw a scene with those of the named things that find a place, at least one of them, and paint it.

    Args:
        rng: where every choice comes from.
        pictures: the things.
        names: what looks for a place, in this order; a name may come several times.
        photograph: what they stand before; None for a drawn scene.
        crowded: make them small, and draw no shapes and no sign.
    """
    behind, image = _drawn(rng, crowded) if photograph is None else _photographed(rng, photograph, crowded)
    taken = [*(shape.box for shape in behind.shapes), *(sign.box for sign in behind.signs)]
    things: list[Placed] = []
    for name in names:
        picture = pictures.of(name, rng)
        box = _place(rng, picture, image.size, crowded, taken)
        if box is not None:
            _paste(image, picture, box)
            things.append(Placed(name, box))
            taken.append(box)
    if not things:  # shapes and sign leave no room
        return draw_things(rng, pictures, names, photograph, crowded=True)
    return ThingScene(behind, in_reading_order(things)), image


def _drawn(rng: Random, crowded: bool) -> tuple[Scene, Image.Image]:
    scene = draw_scene(rng, texts=varied_sign_text)
    while scene.background == CLUTTER or min(scene.width_px, scene.height_px) < _LEAST_PX:
        scene = draw_scene(rng, texts=varied_sign_text)
    if crowded or rng.random() < _BARE:
        scene = _bare(scene)
    return scene, paint(scene).image


def _photographed(rng: Random, photograph: Image.Image, crowded: bool) -> tuple[Scene, Image.Image]:
    scene = draw_signs(rng, photograph, 1, varied_sign_text)
    if not crowded and rng.random() < _SIGNED:
        return scene, paint_signs(scene, photograph).image
    return _bare(scene), photograph.copy()


def _bare(scene: Scene) -> Scene:
    return replace(scene, shapes=(), signs=())


def _place(rng: Random, picture: Image.Image, size: tuple[int, int], crowded: bool, taken: list[Box]) -> Box | None:
    """Find a free place for a thing; None if there was none in a few tries."""
    least, most = _CROWDED if crowded else _SIDES
    for _ in range(_TRIES):
        side = min(size) * least * (most / least) ** rng.random() / max(picture.size)
        width, height = picture.width * side / size[0], picture.height * side / size[1]
        left, top = rng.uniform(0.01, 0.99 - width), rng.uniform(0.01, 0.99 - height)
        box = Box(left, top, left + width, top + height)
        if not any(box.meets(other, _GAP) for other in taken):
            return box
    return None


def _paste(image: Image.Image, picture: Image.Image, box: Box) -> None:
    left, top = round(box.left * image.width), round(box.top * image.height)
    size = max(1, round((box.right - box.left) * image.width)), max(1, round((box.bottom - box.top) * image.height))
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    image.paste(picture, (left, top), picture)
