"""Expected times of a model on this machine's CPU: least times by its measured rates, and the usual distance from them.

An estimate, made without loading anything: `model.bench.roofline.floors` says what each pass must read and multiply,
`model.bench.roofline.quick_rates` how fast this machine does. Pure but for the measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model.bench.roofline.floors import Pass, PassCosts, PeakRates, floor
from model.config import PheyeConfig

CAPTION_TOKENS, ANSWER_TOKENS, PROMPT_TOKENS = 20, 8, 65
REACHED = 0.8  # of the measured rates, by encoding and decoding alike (docs/performance.md, against the hardware)
BLOCK_S = 0.0003  # for launching the operations of one layer, whatever its size; measured with pheye-tiny on two cores
METHOD = (
    "Times are estimates, not measurements: the bytes that each pass reads and its multiplications, at the rates just "
    f"measured on this CPU in float32, of which {REACHED:.0%} are reached as a rule. Where the CPU multiplies "
    "bfloat16, or with --dtype int8, large models take about half of it or less; a GPU far less."
)


@dataclass(frozen=True, slots=True)
class ExpectedTimes:
    """Seconds that one request alone would take.

    Attributes:
        caption_s: a caption of `CAPTION_TOKENS`, the image's encoding included.
        answer_s: an answer of `ANSWER_TOKENS` about an image that was encoded before.
    """

    caption_s: float
    answer_s: float


def expected_times(config: PheyeConfig, dtype: str, rates: PeakRates) -> ExpectedTimes:
    """Estimate the times of a model whose weights are read in this number format, at these rates."""
    costs = PassCosts(config, dtype)
    encode_s = _took_s([costs.encode(1)], config.vision.layers, rates)
    blocks = config.decoder.layers + len(config.cross_layers)
    caption, answer = (
        _took_s(costs.answers([PROMPT_TOKENS], 1, tokens), blocks, rates) for tokens in (CAPTION_TOKENS, ANSWER_TOKENS)
    )
    return ExpectedTimes(encode_s + caption, answer)


def _took_s(passes: Sequence[Pass], blocks: int, rates: PeakRates) -> float:
    return floor(passes, rates).seconds / REACHED + len(passes) * blocks * BLOCK_S


def shown_s(seconds: float) -> str:
    """Write an estimated time without digits that it does not have.

    >>> [shown_s(each) for each in (0.0123, 0.234, 7.1, 23.4, 312.0)]
    ['0.01 s', '0.2 s', '7 s', '23 s', '5 min']
    """
    if seconds >= 120:
        return f"{seconds / 60:.0f} min"
    return f"{seconds:.0f} s" if seconds >= 1.95 else f"{seconds:.1g} s"
