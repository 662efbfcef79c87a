"""Sampling on the device in tensor operations: the naive twin of the Triton kernels, used without Triton.

Some 250 operations, most of them for random bits. Shapes depend on the batch size and the vocabulary alone, nothing is
copied from or to the host and no branch depends on data, so a CUDA graph can record it. Pure; called by the engine's
thread.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FAILED = -1  # in place of a token, for a row whose logits are not finite
ROUNDS = 10
MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)  # of Philox4x64 (Salmon et al. 2011, table 2)
KEY_STEPS = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)  # added to the key from round to round

_LOW = 0xFFFFFFFF


def choose_on_device(
    logits: Tensor, temperature: Tensor, top_p: Tensor, seed: Tensor, step: Tensor, *, nucleus: bool
) -> Tensor:
    """Choose one token for each row; see `model.runtime.sampling.device.choose_on_device`."""
    best = logits.max(dim=-1)
    sampled = temperature > 0
    scores = logits.double() / temperature.masked_fill(~sampled, 1.0)[:, None]
    noisy = scores + gumbel(seed, step, logits.shape[-1])
    if nucleus:
        noisy = noisy.masked_fill(~_nucleus(scores, top_p[:, None]), -torch.inf)
    tokens = torch.where(sampled, noisy.argmax(dim=-1), best.indices)
    return tokens.masked_fill(~torch.isfinite(best.values), FAILED)


def _nucleus(scores: Tensor, top_p: Tensor) -> Tensor:
    """Mark the tokens among the fewest whose probability reaches the row's `top_p` [B, vocab]."""
    weights, tokens = (scores - scores.amax(dim=-1, keepdim=True)).exp().sort(dim=-1, descending=True, stable=True)
    mass = weights.cumsum(dim=-1)
    inside = (mass - weights < top_p * mass[:, -1:]) | (top_p >= 1.0)
    return torch.zeros_like(inside).scatter(-1, tokens, inside)


def gumbel(seed: Tensor, step: Tensor, size: int) -> Tensor:
    """Draw Gumbel noise that depends on nothing but seed and step [B, size] float64."""
    uniform = (_shift_right(random_bits(seed, step, size), 12).double() + 0.5) * 2.0**-52  # strictly between 0 and 1
    return -(-uniform.log()).log()


def random_bits(seed: Tensor, step: Tensor, size: int) -> Tensor:
    """Return the first raw numbers of numpy's `Philox(key=seed, counter=step << 64)` [B, size] int64.

    torch multiplies and adds no unsigned 64-bit integers; signed ones have the same bits, as both wrap around. Both
    products of a round are one tensor operation: `even` holds words 0 and 2 of each block's counter, `odd` 1 and 3.

    Args:
        seed: [B] int64.
        step: [B] int64.
        size: how many numbers for each row.
    """
    device = seed.device
    blocks = -(-size // 4)
    first = torch.arange(1, blocks + 1, device=device)  # numpy counts up before it draws
    even = torch.stack([first, torch.zeros_like(first)])[:, None]  # [2, 1, blocks]
    odd = torch.stack([step, torch.zeros_like(step)])[..., None]  # [2, B, 1]
    key = torch.stack([seed, torch.zeros_like(seed)])[..., None]  # [2, B, 1]
    multipliers = WideFactor.of(_pair(MULTIPLIERS, device))
    keys = key + _pair(KEY_STEPS, device) * torch.arange(ROUNDS, device=device)[:, None, None, None]
    for number in range(ROUNDS):
        high, low = multiply_wide(even, multipliers)
        # Word 0 comes of word 2's product and the other way round.
        even = high.flip(0) ^ odd ^ keys[number]
        odd = low.flip(0)
    words = torch.stack([even[0], odd[0], even[1], odd[1]], dim=-1)  # [B, blocks, 4]
    return words.flatten(1)[:, :size]


def _pair(values: tuple[int, int], device: torch.device) -> Tensor:
    """Fill two unsigned numbers into int64 [2, 1, 1] on the device: a copy from the host could not be recorded."""
    return torch.stack([torch.full((1, 1), _signed(value), device=device) for value in values])


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


@dataclass(frozen=True, slots=True)
class WideFactor:
    """Unsigned 64-bit numbers with their upper and lower halves, all held as int64."""

    whole: Tensor
    high: Tensor
    low: Tensor

    @staticmethod
    def of(whole: Tensor) -> WideFactor:
        """Split numbers into halves."""
        return WideFactor(whole, _shift_right(whole, 32), whole & _LOW)


def multiply_wide(left: Tensor, right: WideFactor) -> tuple[Tensor, Tensor]:
    """Multiply unsigned 64-bit numbers, held as int64, into the upper and the lower 64 bits of their products."""
    high, low = _shift_right(left, 32), left & _LOW
    # Schoolbook multiplication by halves. No sum here exceeds 64 bits: (2**32 - 1)**2 + 2 * (2**32 - 1) < 2**64.
    middle = torch.addcmul(_shift_right(low * right.low, 32), high, right.low)
    other = torch.addcmul(middle & _LOW, low, right.high)
    carried = _shift_right(middle, 32) + _shift_right(other, 32)
    return torch.addcmul(carried, high, right.high), left * right.whole


def _shift_right(bits: Tensor, places: int) -> Tensor:
    """Shift right without the sign, which `>>` would copy."""
    return (bits >> places) & ((1 << (64 - places)) - 1)
