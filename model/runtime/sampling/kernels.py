"""Sampling on the device in two Triton kernels, where the naive twin takes some 250, and without sorting.

`_draw` gives each token its noise, and finds the best token of each stretch of a row's vocabulary, with and without
noise. `_settle` takes the best of a row's stretches. If that token is outside the nucleus of the row's `top_p`, so is
every less probable one, and the best of the more probable ones is next. `top_p` is the least chance that the first one
stays; with one as small as 0.1, about three are looked at.

Imports without Triton, but can then not be called. Called by the engine's thread only.
"""

# ruff: noqa: ANN001, ANN202  (what kernels get are addresses and numbers of the device)
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, disallow-untyped-decorators=False

from __future__ import annotations

import torch
from torch import Tensor

from model.network.kernels.triton_import import constexpr, jit, tl, triton
from model.runtime.sampling.reference import FAILED, KEY_STEPS, MULTIPLIERS, ROUNDS

STRETCH = 1024  # tokens one program draws noise for
_BLOCK = 4096  # tokens a program looks at together when it searches a nucleus; 8 warps keep them in registers

_ROUNDS = constexpr(ROUNDS)
_MULTIPLIER_0, _MULTIPLIER_1 = (constexpr(value) for value in MULTIPLIERS)
_KEY_STEP_0, _KEY_STEP_1 = (constexpr(value) for value in KEY_STEPS)
_FAILED = constexpr(FAILED)
_NO_TOKEN = constexpr(2**31 - 1)


def available(device: torch.device) -> bool:
    """Return whether the kernels serve this device: CUDA, where Triton is installed.

    Triton's interpreter is for tests.
    """
    return triton is not None and device.type == "cuda"


def choose_on_device(logits: Tensor, temperature: Tensor, top_p: Tensor, seed: Tensor, step: Tensor) -> Tensor:
    """Choose one token for each row; see `model.runtime.sampling.device.choose_on_device`."""
    rows, vocab = logits.shape
    stretches = triton.cdiv(vocab, STRETCH)
    noisy = logits.new_empty((rows, vocab), dtype=torch.float64)
    best = logits.new_empty((2, rows, stretches), dtype=torch.float64)  # of logits, and of scores with noise
    where = logits.new_empty((2, rows, stretches), dtype=torch.int32)
    tokens = logits.new_empty(rows, dtype=torch.int64)
    found = (noisy, best, where)
    _draw[(rows, stretches)](
        logits, logits.stride(0), vocab, temperature, seed, step, *found, STRETCH=STRETCH, enable_fp_fusion=False
    )
    _settle[(rows,)](
        logits,
        logits.stride(0),
        vocab,
        temperature,
        top_p,
        *found,
        tokens,
        stretches,
        STRETCHES=triton.next_power_of_2(stretches),
        BLOCK=min(_BLOCK, triton.next_power_of_2(vocab)),
        num_warps=8,
        enable_fp_fusion=False,
    )
    return tokens


@jit
def _noise(seed, step, first_block, BLOCKS: tl.constexpr):
    """Draw Gumbel noise of neighbouring tokens, from BLOCKS blocks of Philox4x64-10 [4 * BLOCKS] float64."""
    c0 = (first_block + 1 + tl.arange(0, BLOCKS)).to(tl.uint64)  # numpy counts up before it draws
    c2 = tl.zeros_like(c0)
    c1 = c2 + step.to(tl.uint64, bitcast=True)
    c3 = c2
    k0 = c2 + seed.to(tl.uint64, bitcast=True)
    k1 = c2
    m0 = tl.full((BLOCKS,), _MULTIPLIER_0, tl.uint64)
    m1 = tl.full((BLOCKS,), _MULTIPLIER_1, tl.uint64)
    w0 = tl.full((BLOCKS,), _KEY_STEP_0, tl.uint64)
    w1 = tl.full((BLOCKS,), _KEY_STEP_1, tl.uint64)
    for _ in tl.static_range(_ROUNDS):
        high_0, low_0 = tl.umulhi(m0, c0), m0 * c0
        high_1, low_1 = tl.umulhi(m1, c2), m1 * c2
        c0, c1, c2, c3 = high_1 ^ c1 ^ k0, low_1, high_0 ^ c3 ^ k1, low_0
        k0 += w0
        k1 += w1
    bits = tl.interleave(tl.interleave(c0, c2), tl.interleave(c1, c3)) >> 12
    uniform = (bits.to(tl.int64).to(tl.float64) + 0.5) * (1.0 / (1 << 52))  # strictly between 0 and 1
    return -tl.log(-tl.log(uniform))


@jit
def _draw(logits, row_stride, vocab, temperature, seed, step, noisy, best, where, STRETCH: tl.constexpr):
    """Find the best tokens of one stretch of one row, and write the noisy scores of all its tokens."""
    row, stretch = tl.program_id(0).to(tl.int64), tl.program_id(1)
    rows, stretches = tl.num_programs(0), tl.num_programs(1)
    token = stretch * STRETCH + tl.arange(0, STRETCH)
    inside = token < vocab
    raw = tl.load(logits + row * row_stride + token, mask=inside, other=float("-inf")).to(tl.float32)
    # A NaN counts as infinite: both fail the row, and no comparison has to think of NaN.
    raw = tl.where(raw == raw, raw, float("inf"))
    top, at = tl.max(raw, axis=0, return_indices=True, return_indices_tie_break_left=True)
    place = row * stretches + stretch
    tl.store(best + place, top.to(tl.float64))
    tl.store(where + place, stretch * STRETCH + at)
    warmth = tl.load(temperature + row)
    if warmth > 0:
        noise = _noise(tl.load(seed + row), tl.load(step + row), stretch * (STRETCH // 4), STRETCH // 4)
        scores = raw.to(tl.float64) / warmth + noise
        tl.store(noisy + row * vocab + token, scores, mask=inside)
        top_score, at = tl.max(scores, axis=0, return_indices=True, return_indices_tie_break_left=True)
        place += rows * stretches
        tl.store(best + place, top_score)
        tl.store(where + place, stretch * STRETCH + at)


@jit
def _settle(
    logits,
    row_stride,
    vocab,
    temperature,
    top_p,
    noisy,
    best,
    where,
    tokens,
    stretches,
    STRETCHES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Choose the token of one row from the best ones of its stretches."""
    row, rows = tl.program_id(0).to(tl.int64), tl.num_programs(0)
    warmth, enough = tl.load(temperature + row), tl.load(top_p + row)
    top, token = _best_of(best, where, row * stretches, stretches, STRETCHES)
    if (top == float("inf")) | (top == float("-inf")):
        token = token * 0 + _FAILED
    elif warmth > 0:
        _, token = _best_of(best, where, (rows + row) * stretches, stretches, STRETCHES)
        if enough < 1:
            logits += row * row_stride
            noisy += row * vocab
            token = _keep_inside(logits, noisy, vocab, warmth, enough, top / warmth, token, BLOCK)
    tl.store(tokens + row, token.to(tl.int64))


@jit
def _best_of(best, where, first, stretches, STRETCHES: tl.constexpr):
    """Find the best value of a row's stretches, and the token that has it; the first one of equals."""
    stretch = tl.arange(0, STRETCHES)
    values = tl.load(best + first + stretch, mask=stretch < stretches, other=float("-inf"))
    value, at = tl.max(values, axis=0, return_indices=True, return_indices_tie_break_left=True)
    return value, tl.load(where + first + at)


@jit
def _keep_inside(logits, noisy, vocab, warmth, enough, top, token, BLOCK: tl.constexpr):
    """Find the best noisy token among the fewest whose probability reaches `enough`, coming from outside."""
    block = tl.arange(0, BLOCK)
    outside = token >= 0
    while outside:
        edge = tl.load(logits + token).to(tl.float64) / warmth
        before = tl.zeros((BLOCK,), tl.float64)
        total = tl.zeros((BLOCK,), tl.float64)
        score = tl.full((BLOCK,), float("-inf"), tl.float64)
        holder = tl.full((BLOCK,), _NO_TOKEN, tl.int32)
        for start in range(0, vocab, BLOCK):
            other = start + block
            there = other < vocab
            scores = tl.load(logits + other, mask=there, other=float("-inf")).to(tl.float64) / warmth
            weights = tl.exp(scores - top)
            ahead = there & ((scores > edge) | ((scores == edge) & (other < token)))
            total += weights
            before += tl.where(ahead, weights, 0.0)
            drawn = tl.load(noisy + other, mask=ahead, other=float("-inf"))
            better = drawn > score
            score = tl.where(better, drawn, score)
            holder = tl.where(better, other, holder)
        outside = tl.sum(before, axis=0) >= enough * tl.sum(total, axis=0)
        if outside:
            token = tl.min(tl.where(score == tl.max(score, axis=0), holder, _NO_TOKEN), axis=0)
    return token
