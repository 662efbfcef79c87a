"""The models that have names, each with what it takes: disk, memory, and where rates are known the time of an answer.

Owns the choice of figures for `pheye info` and the documentation; sizes are `model.complexity`'s, memory
`service.machine.memory`'s. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from model import complexity
from model.bench.roofline.floors import PeakRates
from model.checkpoint.names import PUBLISHED
from model.config import GEOMETRIES, PheyeConfig
from service.configuration.settings import Settings
from service.machine.expected import ExpectedTimes, expected_times
from service.machine.memory import cpu_workers, need, parts

BUILT_IN = "pheye-tiny"


@dataclass(frozen=True, slots=True)
class ModelNeeds:
    """The needs of one model.

    Attributes:
        model: as `--model` takes it.
        config: its geometry.
        dtype: in which the memory is counted.
        workers: on CPUs, of the server whose memory is counted.
        disk_bytes: of its weights as they are stored.
        memory_mb: of a server that is ready, before its first request.
        most_mb: of a server with every bound reached at once.
        times: on this machine, if they were estimated.
    """

    model: str
    config: PheyeConfig
    dtype: str
    workers: int
    disk_bytes: int
    memory_mb: float
    most_mb: float
    times: ExpectedTimes | None = None

    @property
    def parameters(self) -> int:
        """Number of parameters in the checkpoint."""
        return complexity.parameters(self.config).total


def named_models() -> Iterator[tuple[str, PheyeConfig]]:
    """List the built-in model and the published checkpoints, as `--model` takes them."""
    yield BUILT_IN, GEOMETRIES[BUILT_IN]
    yield from ((name, GEOMETRIES[name.rpartition("/")[2]]) for name in PUBLISHED)


def cpu_dtype(config: PheyeConfig, *, bf16: bool, asked: str = "auto") -> str:
    """Choose the number format of a CPU: what was asked for, or what `auto` takes."""
    if asked != "auto":
        return asked
    return "bfloat16" if bf16 and config.encoder_dtype != "float32" else "float32"


def needs(
    model: str, config: PheyeConfig, dtype: str, settings: Settings | None = None, rates: PeakRates | None = None
) -> ModelNeeds:
    """Work out what a model takes."""
    count = complexity.parameters(config)
    memory = need(parts(config, dtype, settings))
    return ModelNeeds(
        model,
        config,
        dtype,
        workers=1 if settings is None else cpu_workers(settings),
        disk_bytes=count.total * complexity.DTYPE_BYTES[config.encoder_dtype],
        memory_mb=memory.at_start_mb,
        most_mb=memory.at_most_mb,
        times=expected_times(config, dtype, rates) if rates is not None else None,
    )
