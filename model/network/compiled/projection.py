"""Projection of an image's features to keys and values, written where cross-attention reads them.

Naive twin: `CrossAttentionBlock.project` in torch, which copies each half once more. Called by the engine's thread.
"""

# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, attr-defined"
from __future__ import annotations

import torch
from torch import Tensor

from model.network.compiled.compilation.jit import entry
from model.network.compiled.linear import crew
from model.network.compiled.loops.panels import PANEL_BYTES, multiply_four_rows, panels_of
from model.network.compiled.loops.sizes import PANEL, ROWS
from model.network.compiled.products import share

_TOGETHER = 256  # tokens, whose features stay in a core's cache while all weights pass by


@entry("(int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, int64)")
def project(features, tokens, width, weights, bias, inner, head_width, keys, values, head_bytes, thread, threads):
    """Project this thread's share of tokens.

    Args:
        features: float32 [tokens, width].
        tokens: how many, at least 4.
        width: of the features.
        weights: panels [2 * inner / 16, width, 16]; the keys' come first.
        bias: [2 * inner].
        inner: heads x head_width, a multiple of 16.
        head_width: a multiple of 16.
        keys: float32 [heads, tokens, head_width].
        values: likewise.
        head_bytes: bytes from one head's keys or values to the next one's.
        thread: which thread this is.
        threads: how many there are.
    """
    begin, end = share(tokens, thread, threads), share(tokens, thread + 1, threads)
    for start in range(begin, end, _TOGETHER):
        stop = min(start + _TOGETHER, end)
        for panel in range(2 * inner // PANEL):
            column = panel * PANEL
            out, column = (keys, column) if column < inner else (values, column - inner)
            out += column // head_width * head_bytes + column % head_width * 4
            at, of_panel = weights + panel * width * PANEL_BYTES, bias + panel * PANEL_BYTES
            for row in range(start, stop, ROWS):
                # Fewer than four are computed with those before them, once more, or at the beginning with those behind.
                first = max(min(row, stop - ROWS), 0)
                multiply_four_rows(
                    features + first * width * 4, width * 4, at, width, of_panel, out + first * head_width * 4,
                    head_width * 4, 0,
                )  # fmt: skip


class CompiledProjection:
    """Layer from features to keys and values, its weights held once more as panels.

    Args:
        weight: float32 [2 * inner, D_vit]; the keys' rows come first.
        bias: [2 * inner].
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._weight = panels_of(weight)
        self._bias, self._inner = bias, len(bias) // 2

    def __call__(self, features: Tensor, keys: Tensor, values: Tensor) -> None:
        """Write keys and values [H, V, d] of one image's features [V, D_vit], V at least 4."""
        features = features.contiguous()
        tokens, width = features.shape
        heads, there, head_width = keys.shape
        assert keys.shape == values.shape
        assert keys.stride() == values.stride() == (keys.stride(0), head_width, 1)
        assert there == tokens >= ROWS
        assert heads * head_width == self._inner
        assert width == self._weight.shape[1]
        assert {features.dtype, keys.dtype, values.dtype} == {torch.float32}
        together, ready = crew(), project.ready

        def work(thread: int) -> None:
            ready(
                features.data_ptr(), tokens, width, self._weight.data_ptr(), self._bias.data_ptr(), self._inner,
                head_width, keys.data_ptr(), values.data_ptr(), 4 * keys.stride(0), thread, together.size,
            )  # fmt: skip

        together.run(work)
