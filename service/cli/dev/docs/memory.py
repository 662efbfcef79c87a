"""The worked sum of a server's memory for the documentation: every bound at once, for some models on a CPU.

Owns which parts there are and their formulas in words; the sizes of a model are `model.complexity`'s, bounds are the
settings' defaults. What processes take before they serve anything was measured. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model import complexity
from model.config import PheyeConfig
from model.runtime.memory_plan import CPU_FEATURE_CACHE_BYTES, CPU_SLOTS, MemoryDemand
from service.api.connections.descriptors import MOST_CONNECTIONS
from service.cli.dev.docs.markdown import table
from service.cli.info import find_config
from service.settings import Settings

MB = 10**6
MODELS = (("pheye-tiny", "float32"), ("Pheye-x4-448", "bfloat16"), ("Pheye-x4-672", "bfloat16"))
API_MB, WORKER_MB, DECODER_MB = 90, 520, 45  # resident once started, without a request; x86-64, Python 3.11, torch 2
DECODER_BYTES_PER_PIXEL, DECODER_BUFFERS_MB = 16, 60  # measured, of the dearest format
CONNECTION_MB = 0.4


@dataclass(frozen=True, slots=True)
class MemoryBound:
    """One kind of memory.

    Attributes:
        what: what it is for.
        formula: its bound, in the names of the settings.
        size_mb: the bound with every setting at its default.
    """

    what: str
    formula: str
    size_mb: float


def memory(_: Sequence[str] = ()) -> str:
    """Write the table of all parts and their sum, a column for each model."""
    columns = [list(parts(find_config(name, None), dtype)) for name, dtype in MODELS]
    rows = [
        (same[0].what, same[0].formula, *(f"{part.size_mb:,.0f} MB" for part in same))
        for same in zip(*columns, strict=True)
    ]
    sums = [sum(part.size_mb for part in column) for column in columns]
    last = ("**all at once**", "", *(f"**{size_mb:,.0f} MB**" for size_mb in sums))
    return table(("Memory", "Bound", *(f"{name}, {dtype}" for name, dtype in MODELS)), [*rows, last])


def parts(config: PheyeConfig, dtype: str) -> Iterator[MemoryBound]:
    """List the parts of the memory of a server with one worker on a CPU, with the defaults of all settings."""
    chosen = Settings.model_construct()
    yield MemoryBound("API process", "measured", API_MB)
    yield MemoryBound("worker, without a model", "measured", WORKER_MB)
    weights = complexity.parameters(config).served * complexity.DTYPE_BYTES[dtype]
    yield MemoryBound("weights", "parameters, vision tower twice", weights / MB)
    slot = complexity.slot_bytes(config, chosen.context_tokens, dtype)
    yield MemoryBound("slots", f"`PHEYE_SLOTS` ({CPU_SLOTS}) x `pheye info`'s slot", CPU_SLOTS * slot / MB)
    opened = 2 * CPU_SLOTS + MemoryDemand(chosen.context_tokens).images_ahead
    features = opened * complexity.feature_bytes(config, dtype)
    yield MemoryBound("features of waiting requests", f"{opened} images", features / MB)
    yield MemoryBound("feature cache", "`PHEYE_FEATURE_CACHE_BYTES` (1 GiB)", CPU_FEATURE_CACHE_BYTES / MB)
    tiles = config.tiles * config.vision.tile_px**2 * 3
    yield MemoryBound(
        "tiles of waiting requests", "4 x `PHEYE_MAX_WAITING` images", 4 * chosen.max_waiting * tiles / MB
    )
    each = float(DECODER_MB + DECODER_BUFFERS_MB)
    each += (DECODER_BYTES_PER_PIXEL * chosen.max_pixels + 3 * chosen.max_body_bytes) / MB
    yield MemoryBound("decoders", "see above", chosen.decoders * each)
    yield MemoryBound("request bodies and images by URL", "`PHEYE_MAX_UPLOAD_BYTES`", chosen.max_upload_bytes / MB)
    yield MemoryBound("uploaded images", "`PHEYE_IMAGE_STORE_BYTES`", chosen.image_store_bytes / MB)
    yield MemoryBound(
        "connections", f"`PHEYE_MAX_CONNECTIONS` ({MOST_CONNECTIONS}) x 0.4 MB", MOST_CONNECTIONS * CONNECTION_MB
    )
