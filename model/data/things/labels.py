"""Labels of each patch of a tile by the thing that it shows: dense targets that teach the small vision transformer.

As `model/data/world/labels.py` labels letters and shapes. Where a tile cannot know, because its edge cuts off the
greater part of a thing or the thing is too small in it, the label is `UNKNOWN` and costs nothing. Pure numpy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from model.data.things.scene import Placed
from model.data.world.labels import UNKNOWN, Labels, overlap, span, within
from model.data.world.scene import Box

NOTHING = 0
_SEEN = 0.5  # share of a thing's box that must lie within the tile
_LEAST_PATCHES = 1.5  # longer side of a thing that can be told


def label_things(things: Sequence[Placed], classes: Mapping[str, int], window: Box, grid: int) -> Labels:
    """Label the tile that sees `window`.

    Args:
        things: what stands in the scene, in shares of the image.
        classes: the class of each name, from 1.
        window: what the tile sees, in shares of the image.
        grid: patches along each side of the tile.

    Returns:
        The class of what each patch's middle lies in, `NOTHING` or `UNKNOWN` [grid, grid].
    """
    labels = np.full((grid, grid), NOTHING, dtype=np.int64)
    for thing in things:
        box = within(thing.box, window)
        where = span(box.top, box.bottom, grid, 0.5), span(box.left, box.right, grid, 0.5)
        labels[where] = classes[thing.name] if _can_be_told(box, grid) else UNKNOWN
    return labels


def _can_be_told(box: Box, grid: int) -> bool:
    seen = overlap(box.left, box.right) * overlap(box.top, box.bottom)
    return seen > _SEEN and max(box.right - box.left, box.bottom - box.top) * grid >= _LEAST_PATCHES
