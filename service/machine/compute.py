"""Probes of the model and of what would compute it: whether it is here, its number format, threads, and if it fits.

Imports torch through `model`, which takes seconds. Any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from model.checkpoint.hub import cache_folder, is_cached
from model.checkpoint.names import PUBLISHED, RANDOM, check_source
from model.checkpoint.sources import EMBEDDED, local_folder
from model.config import PheyeConfig, named_geometry
from model.machine.cores import compute_threads, usable_cores
from model.machine.free_memory import MB, available_mb
from service.configuration.settings import Settings
from service.machine.finding import Finding
from service.machine.memory import need, parts
from service.machine.workers import with_workers

if TYPE_CHECKING:
    from model.runtime.hardware import Precision


def model(settings: Settings) -> Sequence[Finding]:
    """Find out whether the model is here, and if not whether it can be fetched."""
    source = settings.model
    try:
        check_source(source, settings.revision)
    except (ValueError, OSError) as error:
        return [Finding("model", (f"{source}: not here",), (str(error),))]
    return [Finding("model", (f"{source}: {_place(source, settings.revision)}",))]


def _place(source: str, revision: str | None) -> str:
    if source.startswith(RANDOM):
        return "random weights; its answers mean nothing"
    folder = local_folder(source)
    if folder is not None:
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return f"{'built in' if source in EMBEDDED else f'the folder {folder.resolve()}'}, {size / MB:,.0f} MB"
    if is_cached(source, revision):
        return f"in the hub's cache, {cache_folder()}"
    return f"not in the hub's cache {cache_folder()}, and the hub answers: it is fetched at the first start"


def compute(settings: Settings) -> Sequence[Finding]:
    """Find out on what, in which number format and with how many threads the model would compute, and if it fits."""
    from model.runtime import hardware

    settings = with_workers(settings)
    usable, config = usable_cores(), _config(settings)
    lines = [f"{usable} {'core' if usable == 1 else 'cores'} usable by this process"]
    if config is None:
        lines.append("number format and memory are not known before the model is here")
        return [Finding("compute", tuple(lines)), Finding("GPU", tuple(hardware.gpus()))]
    faults, findings = [], []
    names = settings.devices.split(",")
    threads = settings.threads or compute_threads(config, len(names))
    for name in dict.fromkeys(names):
        try:
            device = hardware.resolve_device(name)
            precision = hardware.choose_precision(settings.dtype, device, config)
        except ValueError as error:
            faults.append(str(error))
            continue
        count = f"{names.count(name)} workers on {name}: " if names.count(name) > 1 else f"{name} is {device}: "
        lines.append(f"{count}{precision.name}, because {precision.reason}; threads: {threads}")
        findings.append(_memory(settings, config, precision, device, names.count(name)))
    return [Finding("compute", tuple(lines), tuple(faults)), *findings, Finding("GPU", tuple(hardware.gpus()))]


def _config(settings: Settings) -> PheyeConfig | None:
    """Read the model's configuration, where that needs no network."""
    source = settings.model
    if source.startswith(RANDOM):
        return named_geometry(source.removeprefix(RANDOM))
    if local_folder(source) is None and not is_cached(source, settings.revision):
        return named_geometry(source.rpartition("/")[2]) if source in PUBLISHED else None
    from model.checkpoint.checkpoint import read_config

    return read_config(source, settings.revision)


def _memory(settings: Settings, config: PheyeConfig, precision: Precision, device: Any, workers: int) -> Finding:
    if device.type == "cuda":
        return _card_memory(settings, config, precision, device, workers)
    needed, free_mb = need(parts(config, precision.name, settings)), available_mb()
    line = f"{needed.at_start_mb:,.0f} MB once ready, {needed.at_most_mb:,.0f} MB with every bound reached at once"
    if "cuda" in settings.devices:
        line += ", the workers on GPUs not counted"
    if free_mb is None:
        return Finding("memory", (line,))
    line += f"; {free_mb:,.0f} MB are free"
    if needed.at_start_mb > free_mb:
        do = "free some, take fewer PHEYE_SLOTS, --dtype int8 or int4, a smaller model (`pheye info` compares them)"
        return Finding("memory", (line,), (f"the model does not fit into memory: {line}; {do}",))
    if needed.at_most_mb > free_mb:
        line += "; lower the bounds of docs/operations.md if strangers may ask"
    return Finding("memory", (line,))


def _card_memory(settings: Settings, config: PheyeConfig, precision: Precision, device: Any, workers: int) -> Finding:
    from model.runtime.hardware import memory_budget
    from model.runtime.memory_plan import MemoryDemand, MemoryPlanError, plan_memory

    demand = MemoryDemand(settings.context_tokens, settings.slots, settings.feature_cache_bytes)
    share = settings.gpu_memory_share / workers
    try:
        plan = plan_memory(config, precision.name, demand, memory_budget(device, share))
    except MemoryPlanError as error:
        return Finding("memory", (f"{device}: does not fit",), (str(error),))
    each = "" if workers == 1 else f" for each of {workers} workers"
    return Finding("memory", (f"{device}: {plan.slots} slots{each}", *(str(part).strip() for part in plan.parts)))
