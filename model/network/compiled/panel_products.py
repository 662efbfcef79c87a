"""Products of some rows with weights in float32 that are too large for a core's cache, as one thread computes them.

Weights are panels of 16 outputs. As many inputs are taken at a time as a panel has room for in a core's second cache.
Each sum is added up from the bias on, input by input: a row comes to the same alone and among others.
"""

# ruff: noqa: ANN001, ANN201, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
from __future__ import annotations

from model.network.compiled.compilation.jit import compiled
from model.network.compiled.loops.panels import PANEL_BYTES, continue_four_rows
from model.network.compiled.loops.sizes import PANEL, ROWS

_INPUTS_TOGETHER = 1280


@compiled
def _four_rows(x, first, begin, end, inputs, weights, bias, panel, outputs, out):
    """Go on with the sums of four rows and a panel over some inputs; the first of them start from the bias."""
    target = out + (first * outputs + panel * PANEL) * 4
    start, stride = (target, outputs * 4) if begin else (bias + panel * PANEL_BYTES, 0)
    continue_four_rows(
        x + (first * inputs + begin) * 4, inputs * 4, weights + (panel * inputs + begin) * PANEL_BYTES, end - begin,
        start, stride, target, outputs * 4,
    )  # fmt: skip


@compiled
def multiply_rows(x, rows, inputs, weights, bias, outputs, out):
    """Map rows [rows, inputs], at least four, to [rows, outputs], outputs a multiple of 16.

    `weights` are panels [outputs / 16, inputs, 16], `bias` [outputs].
    """
    for begin in range(0, inputs, _INPUTS_TOGETHER):
        end = min(begin + _INPUTS_TOGETHER, inputs)
        for panel in range(outputs // PANEL):
            for row in range(0, rows - ROWS + 1, ROWS):
                _four_rows(x, row, begin, end, inputs, weights, bias, panel, outputs, out)
    if rows % ROWS:  # the last ones are computed with those before them, once more and from the start
        for panel in range(outputs // PANEL):
            _four_rows(x, rows - ROWS, 0, inputs, inputs, weights, bias, panel, outputs, out)
