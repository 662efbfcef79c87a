"""Square views of a picture, resized as Pillow does it, to the last bit, in a quarter of its time.

Pillow weighs pixels with whole numbers of 2**-22 and rounds a sum once, so that the order of its terms is free: here
eight pixels are weighed at a time. Naive twin: `model.pixels.tiles.PillowViews`. Imports no torch, since decoder
processes use it. Each process calls it in one thread.
"""

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, attr-defined"
from __future__ import annotations

import math

import numpy as np
from numba import carray
from PIL import Image

from model.network.compiled.compilation.jit import compiled, entry
from model.network.compiled.loops.numbers import octets_at
from model.pixels.tiles import Tiles

_BITS = 22  # behind the point of a weight
_ROWS = 16  # that are resized across together
_LANES = 3 * _ROWS
_REACH = 2.0  # of the bicubic filter, in pixels of the smaller picture
_A, _B, _C = -0.5, 1.5, -2.5  # its parameter a, a + 2, and -(a + 3)


@compiled
def _bicubic(x):
    """Return the filter's height at a distance."""
    x = abs(x)
    if x < 1.0:
        return (_B * x + _C) * x * x + 1.0
    return (((x - 5.0) * x + 8.0) * x - 4.0) * _A if x < 2.0 else 0.0


@compiled
def _weights(size, side):
    """Return for each of `side` pixels the first of the `size` ones that it is made of, how many, and their weights.

    In float64 and in the order of Pillow's `precompute_coeffs`, without fused operations: each rounds as there.
    """
    scale = size / side
    wide = max(scale, 1.0)
    reach, step = _REACH * wide, 1.0 / wide
    longest = 2 * math.ceil(reach) + 1
    firsts, counts = np.zeros(side, np.int32), np.zeros(side, np.int32)
    weights, heights = np.zeros((side, longest), np.int32), np.empty(longest)
    for place in range(side):
        centre = (place + 0.5) * scale
        first = max(int(centre - reach + 0.5), 0)
        count = min(int(centre + reach + 0.5), size) - first
        total = 0.0
        for each in range(count):
            heights[each] = _bicubic((each + first - centre + 0.5) * step)
            total += heights[each]
        for each in range(count):
            height = (heights[each] / total if total != 0.0 else heights[each]) * (1 << _BITS)
            weights[place, each] = int(height - 0.5) if height < 0.0 else int(height + 0.5)
        firsts[place], counts[place] = first, count
    return firsts, counts, weights


@compiled
def _weigh(lines, first, count, weights, sums):
    """Add up lines of bytes, each times its weight, and round: the result is from 0 to 255."""
    for at in range(len(sums)):
        sums[at] = 1 << (_BITS - 1)
    four = count // 4 * 4
    for each in range(0, four, 4):
        a, b, c, d = weights[each], weights[each + 1], weights[each + 2], weights[each + 3]
        one, two, three, last = (
            lines[first + each], lines[first + each + 1], lines[first + each + 2], lines[first + each + 3],
        )  # fmt: skip
        for at in range(len(sums)):
            sums[at] += a * np.int32(one[at]) + b * np.int32(two[at]) + c * np.int32(three[at]) + d * np.int32(last[at])
    for each in range(four, count):
        weight, line = weights[each], lines[first + each]
        for at in range(len(sums)):
            sums[at] += weight * np.int32(line[at])
    for at in range(len(sums)):
        sums[at] = min(max(sums[at] >> _BITS, 0), 255)


@compiled
def _turn(rgb, top, rows, turned):
    """Lay the pixels of rows below each other as [width, 3 * _ROWS]: those of a column are neighbours then."""
    for row in range(rows):
        line = rgb[top + row]
        for x in range(rgb.shape[1]):
            turned[x, row] = line[x, 0]
            turned[x, _ROWS + row] = line[x, 1]
            turned[x, 2 * _ROWS + row] = line[x, 2]


@compiled
def _narrow(turned, taps, sums, out, top, rows):
    """Resize rows that are turned across, to rows of `out` from `top` on."""
    firsts, counts, weights = taps
    for x in range(out.shape[1]):
        _weigh(turned, firsts[x], counts[x], weights[x], sums)
        for row in range(rows):
            out[top + row, x, 0] = sums[row]
            out[top + row, x, 1] = sums[_ROWS + row]
            out[top + row, x, 2] = sums[2 * _ROWS + row]


@entry("(int64, int64, int64, uint8[:, :, ::1], uint8[:, :, ::1])")
def resize_across(address, height, width, small, large):
    """Resize rows across, to two widths.

    Args:
        address: of the rows, uint8 [height, width, 3].
        height: of them.
        width: of them.
        small: where they go, uint8 [height, any width, 3].
        large: likewise.
    """
    rgb = carray(octets_at(address), (height, width, 3))
    turned, sums = np.zeros((width, _LANES), np.uint8), np.empty(_LANES, np.int32)
    for_small, for_large = _weights(width, small.shape[1]), _weights(width, large.shape[1])
    for top in range(0, height, _ROWS):
        rows = min(_ROWS, height - top)
        _turn(rgb, top, rows, turned)
        _narrow(turned, for_small, sums, small, top, rows)
        _narrow(turned, for_large, sums, large, top, rows)


@entry("(uint8[:, ::1], uint8[:, ::1])")
def resize_down(rows, out):
    """Resize rows of bytes [height, n] down, to [any height, n]."""
    firsts, counts, weights = _weights(rows.shape[0], out.shape[0])
    sums = np.empty(rows.shape[1], np.int32)
    for y in range(out.shape[0]):
        _weigh(rows, firsts[y], counts[y], weights[y], sums)
        for at in range(len(sums)):
            out[y, at] = sums[at]


class CompiledViews:
    """Two square views of a picture, as `model.pixels.tiles.Views` has them."""

    def __init__(self, small_px: int, large_px: int, height_px: int) -> None:
        self._across = [np.empty((height_px, side_px, 3), np.uint8) for side_px in (small_px, large_px)]

    def paste(self, rgb: Image.Image, data: bytes, top: int) -> None:
        """Take the rows from `top` on, whose bytes are `data`."""
        pixels = np.frombuffer(data, np.uint8)
        parts = [view[top : top + rgb.height] for view in self._across]
        resize_across(pixels.ctypes.data, rgb.height, rgb.width, *parts)

    def down(self) -> tuple[Tiles, Tiles]:
        """Return the views, uint8 [side, side, 3], when all rows were taken."""
        small, large = (_down(view) for view in self._across)
        return small, large


def _down(view: Tiles) -> Tiles:
    height, side_px, _ = view.shape
    square = np.empty((side_px, side_px, 3), np.uint8)
    resize_down(view.reshape(height, 3 * side_px), square.reshape(side_px, 3 * side_px))
    return square


def load_views() -> bool:
    """Load what is kept of this on disk, and return whether all of it was there; compiles nothing."""
    return resize_across.load() and resize_down.load()
