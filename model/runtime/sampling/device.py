"""Sampling on the device: the next token of every row, batched, without a transfer to the host.

The batched form of the host's `choose`, for devices whose steps are recorded as CUDA graphs. Two Triton kernels on
CUDA, their naive twin elsewhere. Knows no requests. Pure; called by the engine's thread.
"""

from __future__ import annotations

from torch import Tensor

from model.runtime.sampling import kernels, reference
from model.runtime.sampling.reference import FAILED

__all__ = ["FAILED", "choose_on_device"]


def choose_on_device(
    logits: Tensor, temperature: Tensor, top_p: Tensor, seed: Tensor, step: Tensor, *, nucleus: bool = True
) -> Tensor:
    """Choose one token for each row, the same that `choose` takes on the host.

    The random bits are the host's to the last one. The Gumbel noise made of them may differ by the last bit of two
    logarithms, which decides between two tokens only if their scores agree to 15 digits.

    All of it can be captured in a CUDA graph: shapes depend on the batch size and the vocabulary alone, every row's
    settings are read from device tensors, and no branch on the host depends on data.

    Args:
        logits: [B, vocab], float32, bfloat16 or float16; the last axis must be contiguous.
        temperature: [B] float64, `Sampling.divisor`; 0 is greedy, which takes the first of equal logits.
        top_p: [B] float64.
        seed: [B] int64.
        step: [B] int64, how many tokens each row has been given before this one.
        nucleus: whether any row may have a `top_p` below 1; if none has, the naive twin need not sort.

    Returns:
        Tokens [B] int64; `FAILED` for rows whose logits are not finite.
    """
    if kernels.available(logits.device):
        return kernels.choose_on_device(logits, temperature, top_p, seed, step)
    return reference.choose_on_device(logits, temperature, top_p, seed, step, nucleus=nucleus)
