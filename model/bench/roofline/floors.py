"""Lower bounds on time (roofline model): bytes at the measured bandwidth, or FLOPs at the measured rate.

Owns what each kind of pass over the model has to read; `model/complexity.py` owns the counts it is made of,
`model/bench/roofline/ceilings.py` the rates. Needs no torch. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from model import complexity
from model.config import PheyeConfig

Bound = Literal["memory", "matrix"]


class PeakRates(Protocol):
    """Peak rates of a machine in one number format, however they were measured."""

    @property
    def bytes_per_s(self) -> float:
        """Bytes of memory read in a second."""

    @property
    def flops_per_s(self) -> float:
        """FLOPs of matrix products in a second, two for each multiply-add."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Bytes read and FLOPs computed by one pass over the model or a part of it."""

    bytes: int
    flops: int


@dataclass(frozen=True, slots=True)
class Floor:
    """Least seconds that some passes can take, and the resource that bounds most of them."""

    seconds: float
    bound: Bound


def floor(passes: Sequence[Pass], ceilings: PeakRates) -> Floor:
    """Add up passes that each take the longer of their reading and their multiplying."""
    spent: dict[Bound, float] = {"memory": 0.0, "matrix": 0.0}
    for each in passes:
        read_s, multiply_s = each.bytes / ceilings.bytes_per_s, each.flops / ceilings.flops_per_s
        spent["memory" if read_s > multiply_s else "matrix"] += max(read_s, multiply_s)
    return Floor(sum(spent.values()), "memory" if spent["memory"] > spent["matrix"] else "matrix")


@dataclass(frozen=True, slots=True)
class PassCosts:
    """Costs of the fast path's passes in one number format.

    Attributes:
        config: the model.
        dtype: `float32`, `bfloat16`, `int8` or `int4`, in which weights are multiplied and nothing is kept.
    """

    config: PheyeConfig
    dtype: str

    @property
    def weight_bytes(self) -> int:
        """Bytes of one weight, outside of a decoder in int4."""
        return complexity.DTYPE_BYTES.get(self.dtype, 1)

    def _decoder_bytes(self, *, project: bool) -> int:
        """Bytes of the weights that a pass of the decoder reads; see `decoder_weights`."""
        weights = decoder_weights(self.config, project=project)
        if self.dtype != "int4":
            return self.weight_bytes * weights
        d = self.config.decoder
        sensitive = d.vocab_size * d.width
        if project:
            sensitive += weights - decoder_weights(self.config, project=False)
        return sensitive + int((weights - sensitive) * complexity.INT4_BYTES)

    def encode(self, images: int) -> Pass:
        """Cost of encoding all tiles of some images in one call; each adapter is a vision tower of its own."""
        towers = 2 * complexity.parameters(self.config).vision_tower
        return Pass(self.weight_bytes * towers, images * complexity.encode_flops(self.config))

    def prefill(self, prompts: Sequence[int], images: int, common: int = 0) -> Pass:
        """Cost of prefill for prompts of these lengths; `common` tokens are read once for each image."""
        again = (len(prompts) - images) * complexity.project_flops(self.config)
        own = [tokens if row < images else tokens - common for row, tokens in enumerate(prompts)]
        flops = sum(complexity.prefill_flops(self.config, tokens) for tokens in own) - again
        return Pass(self._decoder_bytes(project=True), flops)

    def decode(self, contexts: Sequence[int], images: int) -> Pass:
        """Cost of decoding one more token for rows that then hold so many."""
        read = self._decoder_bytes(project=False)
        read += sum(complexity.self_attention_bytes(self.config, context, self.dtype) for context in contexts)
        read += images * complexity.cross_attention_bytes(self.config, self.dtype)
        return Pass(read, sum(complexity.decode_flops(self.config, context) for context in contexts))

    def answers(self, prompts: Sequence[int], images: int, tokens: int, common: int = 0) -> list[Pass]:
        """Cost of prefill, then decode until every row has so many new tokens."""
        steps = [self.decode([length + step for length in prompts], images) for step in range(1, tokens)]
        return [self.prefill(prompts, images, common), *steps]


def decoder_weights(config: PheyeConfig, *, project: bool) -> int:
    """Number of weights that a pass of the decoder reads, whatever its rows and tokens.

    Of the embedding single rows are looked up, and they are not counted. The projection of features to keys and values
    takes part only where an image is admitted.
    """
    count, d = complexity.parameters(config), config.decoder
    projection = len(config.cross_layers) * (config.vision.width + 1) * 2 * config.inner_width
    read = count.language_model + count.cross_attention - d.vocab_size * d.width
    return read if project else read - projection
