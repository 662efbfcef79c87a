"""Throughput of the engine without HTTP, as in the load's server: the difference is the cost of the API.

One thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial

from model.bench.gpu.item import Data, Item, PartInput
from service.bench.engine import engine_throughput
from service.bench.gpu.server import CONTEXT_TOKENS, MAX_TOKENS, SLOTS
from service.configuration.settings import load_settings

IN_FLIGHT, KNOWN_IMAGES = 64, 8


def items(given: PartInput) -> Iterator[Item]:
    """List the measurements: answers about images with known features, then about new ones."""
    requests = 384 if given.device == "cuda" else 24
    yield Item(f"{IN_FLIGHT} known images", partial(throughput, given, requests, KNOWN_IMAGES), 60.0)
    yield Item(f"{IN_FLIGHT} new images", partial(throughput, given, requests // 2, None), 60.0)


def throughput(given: PartInput, requests: int, images: int | None) -> Data:
    """Measure a closed loop on an engine of its own."""
    settings = load_settings(
        model=given.models[0],
        devices=given.device,
        slots=SLOTS,
        context_tokens=CONTEXT_TOKENS,
        default_max_tokens=MAX_TOKENS,
    )
    found = engine_throughput(settings, requests=requests, in_flight=IN_FLIGHT, max_tokens=MAX_TOKENS, images=images)
    return asdict(found) | {"answers_per_s": found.answers_per_s, "tokens_per_s": found.tokens_per_s}
