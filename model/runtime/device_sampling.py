"""Sampling on the device: the next token of every row, batched, without a word to the host.

The batched twin of `choose` in `sampling.py`, for devices whose steps are recorded as CUDA graphs: shapes depend on the
batch size and the vocabulary alone, every row's settings are read from device tensors, nothing is copied from or to the
host, and no branch depends on data. Knows no requests. Pure; whoever owns the device's stream may call it.
"""

from __future__ import annotations

import torch
from torch import Tensor

ROUNDS = 10
MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)  # of Philox4x64 (Salmon et al. 2011, table 2)
KEY_STEPS = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)  # added to the key from round to round
FAILED = -1  # in place of a token, for a row whose logits are not finite

_LOW = 0xFFFFFFFF


def choose_on_device(
    logits: Tensor, temperature: Tensor, top_p: Tensor, seed: Tensor, step: Tensor, *, nucleus: bool = True
) -> Tensor:
    """One token for each row, the same that `choose` takes on the host.

    The random bits are the host's to the last one. The Gumbel noise made of them may differ by the last bit of two
    logarithms, which decides between two tokens only if their scores agree to 15 digits.

    Args:
        logits: [B, vocab], in any floating-point format.
        temperature: [B] float64; 0 is greedy.
        top_p: [B] float64.
        seed: [B] int64.
        step: [B] int64, how many tokens each row has been given before this one.
        nucleus: whether any row may have a `top_p` below 1. Without, the vocabulary need not be sorted.

    Returns:
        Tokens [B] int64; `FAILED` for rows whose logits are not finite.
    """
    best = logits.max(dim=-1)
    sampled = temperature > 0
    scores = logits.double() / torch.where(sampled, temperature, 1.0)[:, None]
    noisy = scores + gumbel(seed, step, logits.shape[-1])
    if nucleus:
        noisy = noisy.masked_fill(~_nucleus(scores, top_p[:, None]), -torch.inf)
    tokens = torch.where(sampled, noisy.argmax(dim=-1), best.indices)
    return tokens.masked_fill(~torch.isfinite(best.values), FAILED)


def _nucleus(scores: Tensor, top_p: Tensor) -> Tensor:
    """Which tokens are among the fewest whose probability reaches the row's `top_p` [B, vocab]."""
    ordered, tokens = scores.softmax(dim=-1).sort(descending=True, stable=True)
    before = ordered.cumsum(dim=-1) - ordered
    inside = (before < top_p) | (top_p >= 1.0)
    return torch.zeros_like(inside).scatter(-1, tokens, inside)


def gumbel(seed: Tensor, step: Tensor, size: int) -> Tensor:
    """Gumbel noise that depends on nothing but seed and step [B, size] float64."""
    uniform = (_shift_right(random_bits(seed, step, size), 12).double() + 0.5) * 2.0**-52  # strictly between 0 and 1
    return -(-uniform.log()).log()


def random_bits(seed: Tensor, step: Tensor, size: int) -> Tensor:
    """The first raw numbers of numpy's `Philox(key=seed, counter=step << 64)` [B, size] int64.

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
    multipliers, key_steps = _pair(MULTIPLIERS, device), _pair(KEY_STEPS, device)
    for number in range(ROUNDS):
        high, low = multiply_wide(even, multipliers)
        # Word 0 comes of word 2's product and the other way round.
        even = high.flip(0) ^ odd ^ (key + number * key_steps)
        odd = low.flip(0)
    words = torch.stack([even[0], odd[0], even[1], odd[1]], dim=-1)  # [B, blocks, 4]
    return words.flatten(1)[:, :size]


def _pair(values: tuple[int, int], device: torch.device) -> Tensor:
    """Two unsigned numbers as int64 [2, 1, 1], filled in on the device: a copy from the host could not be recorded."""
    return torch.stack([torch.full((1, 1), _signed(value), device=device) for value in values])


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def multiply_wide(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """The upper and the lower 64 bits of products of unsigned 64-bit numbers, all of them held as int64."""
    left_high, left_low = _shift_right(left, 32), left & _LOW
    right_high, right_low = _shift_right(right, 32), right & _LOW
    # Schoolbook multiplication by halves. No sum here exceeds 64 bits: (2**32 - 1)**2 + 2 * (2**32 - 1) < 2**64.
    middle = left_high * right_low + _shift_right(left_low * right_low, 32)
    other = left_low * right_high + (middle & _LOW)
    return left_high * right_high + _shift_right(middle, 32) + _shift_right(other, 32), left * right


def _shift_right(bits: Tensor, places: int) -> Tensor:
    """Shift without the sign, which `>>` would copy."""
    return (bits >> places) & ((1 << (64 - places)) - 1)
