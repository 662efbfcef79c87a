"""The memory of a server, part by part: every bound at once, for a model on CPUs.

Owns which parts there are and their formulas in words; the sizes of a model are `model.complexity`'s, bounds are the
settings'. What processes take before they serve anything was measured. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from model import complexity
from model.config import PheyeConfig
from model.network.compiled.compilation.available import installed, keeps_second_form
from model.runtime.memory_plan import CPU_FEATURE_CACHE_BYTES, CPU_SLOTS, MemoryDemand
from service.api.connections.descriptors import MOST_CONNECTIONS
from service.configuration.settings import Settings

MB = 10**6
API_MB, WORKER_MB, DECODER_MB = 90, 520, 45  # resident once started, without a request; x86-64, Python 3.11, torch 2
NUMBA_MB = 60  # likewise what compiled code adds to a worker
RESIZING_MB = 95  # and to the process that decoders are forked from, which shares it with them
COMPILING_MB = 520  # of the process that compiles, or of a worker that does
QUANTISED = ("int8", "int4")
DECODER_BYTES_PER_PIXEL, DECODER_BUFFERS_MB = 16, 60  # measured, of the dearest format
CONNECTION_MB = 0.4


@dataclass(frozen=True, slots=True)
class MemoryBound:
    """One kind of memory.

    Attributes:
        what: what it is for.
        formula: its bound, in the names of the settings.
        size_mb: the bound with these settings.
        at_start_mb: how much of it is taken once the server is ready, before any request.
    """

    what: str
    formula: str
    size_mb: float
    at_start_mb: float = 0.0


def cpu_workers(settings: Settings) -> int:
    """Count the workers on CPUs; one if there are none, for what such a server would take without its GPUs.

    >>> [cpu_workers(Settings(devices=devices)) for devices in ("cpu,cuda:0,cpu", "cuda:0,cuda:1", "auto")]
    [2, 1, 1]
    """
    return max(1, sum(not device.startswith("cuda") for device in settings.devices.split(",")))


def parts(config: PheyeConfig, dtype: str, settings: Settings | None = None) -> Iterator[MemoryBound]:
    """List the parts of the memory of a server and its workers on CPUs; without settings, with all defaults, of one."""
    chosen = settings or Settings.model_construct()
    workers, slots = cpu_workers(chosen), chosen.slots or CPU_SLOTS
    yield MemoryBound("API process", "measured", API_MB, API_MB)
    is_twice = keeps_second_form(config, dtype) and (dtype != "float32" or chosen.compiled_code == "auto")
    has_numba = installed() and (dtype in QUANTISED or (dtype == "float32" and chosen.compiled_code == "auto"))
    worker_mb = WORKER_MB + (NUMBA_MB if has_numba else 0)
    yield MemoryBound("worker, without a model", "measured", workers * worker_mb, workers * worker_mb)
    compiling = COMPILING_MB if has_numba else 0
    yield MemoryBound("compiling, at a first start", "measured, where numba is used", compiling)
    weights = complexity.weight_bytes(config, dtype, twice=is_twice) * workers
    yield MemoryBound(
        "weights",
        "parameters, vision tower twice; with numba small models in float32 twice, and decoders in int8 with VNNI",
        weights / MB,
        weights / MB,
    )
    slot = complexity.slot_bytes(config, chosen.context_tokens, dtype)
    taken = workers * slots * slot / MB
    yield MemoryBound("slots", f"`PHEYE_SLOTS` ({slots}) x `pheye info`'s slot", taken, taken)
    opened = 2 * slots + MemoryDemand(chosen.context_tokens).images_ahead
    features = workers * opened * complexity.feature_bytes(config, dtype)
    yield MemoryBound("features of waiting requests", f"{opened} images", features / MB)
    cache = CPU_FEATURE_CACHE_BYTES if chosen.feature_cache_bytes is None else chosen.feature_cache_bytes
    yield MemoryBound("feature cache", "`PHEYE_FEATURE_CACHE_BYTES` (1 GiB)", workers * cache / MB)
    tiles = workers * config.tiles * config.vision.tile_px**2 * 3
    yield MemoryBound(
        "tiles of waiting requests", "4 x `PHEYE_MAX_WAITING` images", 4 * chosen.max_waiting * tiles / MB
    )
    each = float(DECODER_MB + DECODER_BUFFERS_MB)
    each += (DECODER_BYTES_PER_PIXEL * chosen.max_pixels + 3 * chosen.max_body_bytes) / MB
    resizing = RESIZING_MB if has_numba and chosen.compiled_code == "auto" else 0
    yield MemoryBound("decoders", "see above", chosen.decoders * each + resizing, chosen.decoders * DECODER_MB)
    yield MemoryBound("request bodies and images by URL", "`PHEYE_MAX_UPLOAD_BYTES`", chosen.max_upload_bytes / MB)
    yield MemoryBound("uploaded images", "`PHEYE_IMAGE_STORE_BYTES`", chosen.image_store_bytes / MB)
    most = chosen.max_connections or MOST_CONNECTIONS
    yield MemoryBound("connections", f"`PHEYE_MAX_CONNECTIONS` ({most}) x 0.4 MB", most * CONNECTION_MB)


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """The memory of a whole server: once it is ready, and with every bound reached at once."""

    at_start_mb: float
    at_most_mb: float


def need(bounds: Iterable[MemoryBound]) -> MemoryNeed:
    """Add up the parts."""
    listed = list(bounds)
    return MemoryNeed(sum(each.at_start_mb for each in listed), sum(each.size_mb for each in listed))
