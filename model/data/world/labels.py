"""Labels of each patch of a tile: dense targets that teach the small vision transformer before Pheye's stages.

A tile sees a window of the image; a patch is labelled by what stands at its middle, and letters, which are narrower
than a patch when they are small, at two points of it. Where a tile cannot know (a letter cut by its edge, a letter too
small for its resolution, an order counted from a beginning it does not see) the label is `UNKNOWN` and costs nothing.
Pure numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.data.world.paint import Letter, Picture
from model.data.world.scene import COLOURS, SHAPES, Box, Scene
from model.data.world.sign_texts import DIGITS, LETTERS

UNKNOWN = -1
LETTER_CLASSES = 1 + len(LETTERS + DIGITS)  # 0 is no letter
ORDER_CLASSES = 6
THING_CLASSES = 2 + len(SHAPES)  # nothing, the shapes, a sign
_LEGIBLE_PX = 7.0  # letters below this height in the tile are not asked for
_WHOLE = 0.65  # share of a letter that must lie within the tile
_LETTER_POINTS = (0.25, 0.75)  # across a patch

Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class TileLabels:
    """Labels of one tile with G x G patches, row by row.

    Attributes:
        letters: class of the letter at each of two points [2, G, G].
        order: its place in the sign, counted from the left [2, G, G].
        things: what the patch's middle lies in [G, G].
        colours: the colour of that shape [G, G].
        extents: offset of the thing's centre from the patch and its size, in tile sides, NaN if unknown [4, G, G].
    """

    letters: Labels
    order: Labels
    things: Labels
    colours: Labels
    extents: NDArray[np.float32]


def windows(level: int) -> list[Box]:
    """Return each tile's window, in the order of `model/pixels/tiles.py`: the entire image, then column by column."""
    step = 1 / level
    cells = [(x * step, y * step) for x in range(level) for y in range(level)]
    return [Box(0, 0, 1, 1), *(Box(x, y, x + step, y + step) for x, y in cells)]


def label(scene: Scene, picture: Picture, window: Box, grid: int, tile_px: int) -> TileLabels:
    """Label the tile that sees `window`."""
    labels = TileLabels(
        letters=np.zeros((2, grid, grid), dtype=np.int64),
        order=np.full((2, grid, grid), UNKNOWN, dtype=np.int64),
        things=np.zeros((grid, grid), dtype=np.int64),
        colours=np.full((grid, grid), UNKNOWN, dtype=np.int64),
        extents=np.full((4, grid, grid), np.nan, dtype=np.float32),
    )
    for shape in scene.shapes:
        where = _mark(labels, within(shape.box, window), 1 + SHAPES.index(shape.kind), grid)
        labels.colours[where] = list(COLOURS).index(shape.colour)
    for letters in picture.letters:
        _mark(labels, within(_hull(letters), window), THING_CLASSES - 1, grid)
        _mark_letters(labels, letters, window, grid, tile_px)
    return labels


def within(box: Box, window: Box) -> Box:
    """Return the box in sides of the window."""
    width, height = window.right - window.left, window.bottom - window.top
    return Box(
        (box.left - window.left) / width,
        (box.top - window.top) / height,
        (box.right - window.left) / width,
        (box.bottom - window.top) / height,
    )


def _mark(labels: TileLabels, box: Box, thing: int, grid: int) -> tuple[slice, slice]:
    where = span(box.top, box.bottom, grid, 0.5), span(box.left, box.right, grid, 0.5)
    labels.things[where] = thing
    if box.left >= 0 and box.top >= 0 and box.right <= 1 and box.bottom <= 1:
        down, across = np.mgrid[where]
        x, y = box.centre
        labels.extents[(0, *where)] = x - (across + 0.5) / grid
        labels.extents[(1, *where)] = y - (down + 0.5) / grid
        labels.extents[(2, *where)] = box.right - box.left
        labels.extents[(3, *where)] = box.bottom - box.top
    return where


def _mark_letters(labels: TileLabels, letters: tuple[Letter, ...], window: Box, grid: int, tile_px: int) -> None:
    height = max(letter.box.bottom - letter.box.top for letter in letters) / (window.bottom - window.top) * tile_px
    first = within(letters[0].box, window)
    begins_here = first.left >= -0.01 and first.left < 1
    for place, letter in enumerate(letters):
        box = within(letter.box, window)
        seen = overlap(box.left, box.right) * overlap(box.top, box.bottom)
        known = height >= _LEGIBLE_PX and seen >= _WHOLE
        for point, share in enumerate(_LETTER_POINTS):
            where = point, span(box.top, box.bottom, grid, 0.5), span(box.left, box.right, grid, share)
            labels.letters[where] = 1 + (LETTERS + DIGITS).index(letter.text) if known else UNKNOWN
            labels.order[where] = place if known and begins_here else UNKNOWN


def span(low: float, high: float, grid: int, point: float) -> slice:
    """Return the patches whose point lies between two shares of the tile."""
    return slice(max(0, int(np.ceil(low * grid - point))), max(0, min(grid, int(np.floor(high * grid - point)) + 1)))


def overlap(low: float, high: float) -> float:
    """Return the share of a span, in sides of the tile, that lies within the tile."""
    return max(0.0, min(1.0, high) - max(0.0, low)) / max(high - low, 1e-6)


def _hull(letters: tuple[Letter, ...]) -> Box:
    return Box(
        min(letter.box.left for letter in letters),
        min(letter.box.top for letter in letters),
        max(letter.box.right for letter in letters),
        max(letter.box.bottom for letter in letters),
    )
