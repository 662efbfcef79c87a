"""Cost estimates: FLOPs and bytes of a request by the model's formulas, seconds by recent measurements.

Knows neither who asks nor how the server is observed: it is told. Pure; safe from any thread.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from model.complexity import (
    decode_flops,
    encode_flops,
    feature_bytes,
    prefill_flops,
    project_flops,
    slot_bytes,
)
from model.config import PheyeConfig
from model.pixels.tiles import TiledImage
from service.dispatch.costs import Costs
from service.messages.from_worker import ModelCard
from service.schemas.estimate import CacheSaving, Estimate, EstimatedBytes, EstimatedFlops, EstimatedSeconds
from service.schemas.responses import ImageFields


@dataclass(frozen=True, slots=True)
class AskedRow:
    """An answer that would be generated, at its longest; with `choice_tokens`, which are read, nothing is decoded."""

    prompt_tokens: int
    max_tokens: int
    choice_tokens: int = 0

    @property
    def read_tokens(self) -> int:
        """The tokens that are read together."""
        return self.prompt_tokens + self.choice_tokens

    @property
    def decode_steps(self) -> int:
        """The steps of its decoding: one for each token but the first, which the prefill gives."""
        return 0 if self.choice_tokens else self.max_tokens - 1


@dataclass(frozen=True, slots=True)
class CurrentLoad:
    """The load of the server at this moment.

    Attributes:
        costs: what work has cost lately.
        wait_s: for which a new row would wait; None if that is not known.
        cached_tiles: tiles of the image whose features are here; None if no image was sent.
    """

    costs: Costs
    wait_s: float | None
    cached_tiles: int | None

    def new_tiles(self, config: PheyeConfig) -> int:
        """Count the tiles that have to be encoded."""
        return config.tiles - (self.cached_tiles or 0)


def estimate(
    card: ModelCard, rows: Sequence[AskedRow], present: CurrentLoad, image: TiledImage | None = None
) -> Estimate:
    """Estimate the cost of rows that ask about one image, which need not be known."""
    config = card.config
    return Estimate(
        model=card.name,
        image_tiles=config.tiles,
        image_tokens=config.image_tokens,
        prompt_tokens=sum(row.prompt_tokens for row in rows),
        max_completion_tokens=sum(row.max_tokens for row in rows),
        image_tiles_cached=present.cached_tiles,
        features_resident=None if present.cached_tiles is None else not present.new_tiles(config),
        flops=_flops(config, rows, present.new_tiles(config)),
        bytes=_bytes(card),
        seconds=_seconds(card, rows, present),
        cache_saves=CacheSaving(flops=encode_flops(config), seconds=_encode_s(present.costs, config.tiles)),
        image=None if image is None else ImageFields.of(image),
        warnings=[] if image is None else list(image.facts.warnings),
    )


def _flops(config: PheyeConfig, rows: Sequence[AskedRow], new_tiles: int) -> EstimatedFlops:
    encode = encode_flops(config) * new_tiles // config.tiles
    shared = (len(rows) - 1) * project_flops(config)  # rows about one image project its keys and values once
    prefill = sum(prefill_flops(config, row.read_tokens) for row in rows) - shared
    decode = sum(_decode_flops(config, row) for row in rows)
    return EstimatedFlops(encode=encode, prefill=prefill, decode=decode, total=encode + prefill + decode)


def _decode_flops(config: PheyeConfig, row: AskedRow) -> int:
    """Count the FLOPs of decoding; each token costs a fixed amount more than the one before."""
    steps = row.decode_steps
    first, last = row.prompt_tokens + 1, row.prompt_tokens + steps
    return steps * (decode_flops(config, first) + decode_flops(config, last)) // 2


def _bytes(card: ModelCard) -> EstimatedBytes:
    slot = slot_bytes(card.config, card.context_tokens, card.dtype)
    return EstimatedBytes(slot=slot, features=feature_bytes(card.config, card.dtype))


def _seconds(card: ModelCard, rows: Sequence[AskedRow], present: CurrentLoad) -> EstimatedSeconds:
    parts = {
        "queue": present.wait_s,
        "encode": _encode_s(present.costs, present.new_tiles(card.config)),
        "prefill": _measured(present.costs.prompt_token_s, sum(row.read_tokens for row in rows)),
        "decode": _measured(present.costs.decode_step_s, _decode_steps(rows, card.slots)),
    }
    known = [seconds for seconds in parts.values() if seconds is not None]
    total = sum(known) if len(known) == len(parts) else None
    return EstimatedSeconds(**parts, total=total, unknown=_unknown(parts))


def _encode_s(costs: Costs, tiles: int) -> float | None:
    return _measured(costs.tile_s, tiles)


def _decode_steps(rows: Sequence[AskedRow], slots: int) -> int:
    """Count the steps that give every row its tokens, when as many rows run together as there are slots."""
    return math.ceil(len(rows) / slots) * max(row.decode_steps for row in rows)


def _measured(unit_s: float, units: int) -> float | None:
    return unit_s * units if unit_s or not units else None


def _unknown(parts: Mapping[str, float | None]) -> str | None:
    missing = [name for name, seconds in parts.items() if seconds is None]
    return f"not measured since the start: {', '.join(missing)}; the first answer will tell" if missing else None
