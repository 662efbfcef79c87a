"""The part of `pheye info` about this machine: what models take of it, as a table and as JSON.

Owns the layout; `service.machine.models` owns the figures. Used by the command only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from model.bench.roofline.quick_rates import QuickRates, quick_rates
from model.checkpoint.names import RANDOM
from model.config import GEOMETRIES, PheyeConfig
from model.machine.processor import processor_multiplies_bf16
from service.configuration.settings import Settings
from service.machine.expected import ANSWER_TOKENS, CAPTION_TOKENS, METHOD, shown_s
from service.machine.load import MachineLoad
from service.machine.models import BUILT_IN, ModelNeeds, cpu_dtype, named_models, needs
from service.machine.workers import with_workers


def measured() -> QuickRates | None:
    """Measure this machine for a second; None if there is no memory to do so."""
    try:
        return quick_rates()
    except MemoryError:
        return None


def all_needs(source: str, config: PheyeConfig, settings: Settings, *, others: bool) -> Iterator[ModelNeeds]:
    """List what a model takes here, and after it those that have names, if they are wanted.

    Args:
        source: as `--model` takes it.
        config: its geometry.
        settings: what a server would be started with.
        others: whether to list the built-in model and the published checkpoints too.
    """
    rates, bf16 = measured(), processor_multiplies_bf16()
    wanted = {source: config} | (dict(named_models()) if others else {})
    for name, each in wanted.items():
        dtype = cpu_dtype(each, bf16=bf16, asked=settings.dtype)
        yield needs(name, each, dtype, _as_served(name, settings), rates)


def _as_served(name: str, settings: Settings) -> Settings:
    """Return the settings with which a server of this model would run: with all its workers."""
    model = f"{RANDOM}{name}" if name in GEOMETRIES and name != BUILT_IN else name
    return with_workers(settings.model_copy(update={"model": model}))


def needs_as_json(listed: Sequence[ModelNeeds]) -> list[dict[str, Any]]:
    """Arrange the figures for programs."""
    return [
        {
            "model": each.model,
            "parameters": each.parameters,
            "dtype": each.dtype,
            "workers": each.workers,
            "disk_bytes": each.disk_bytes,
            "memory_at_start_bytes": round(each.memory_mb * 1e6),
            "memory_at_most_bytes": round(each.most_mb * 1e6),
            "estimated_caption_s": each.times and round(each.times.caption_s, 3),
            "estimated_answer_s": each.times and round(each.times.answer_s, 3),
        }
        for each in listed
    ]


def print_needs(listed: Sequence[ModelNeeds], load: MachineLoad, console: Console) -> None:
    """Print the table, and how its times were made, on a machine with how much other work."""
    table = Table(title="On this machine", title_justify="left", width=80)
    table.add_column("model", ratio=1, overflow="fold")
    for title in ("disk", "memory", "at most", "caption", "answer"):
        table.add_column(title, justify="right")
    for each in listed:
        times = [shown_s(each.times.caption_s), shown_s(each.times.answer_s)] if each.times else ["?", "?"]
        sizes = (each.disk_bytes / 1e9, each.memory_mb / 1e3, each.most_mb / 1e3)
        workers = "" if each.workers == 1 else f", {each.workers} workers"
        table.add_row(f"{each.model}, {each.dtype}{workers}", *(f"{size:.2g} GB" for size in sizes), *times)
    console.print(table)
    busy = load.warning()
    console.print(
        f"Memory is that of a server that is ready, and with every bound reached at once. A caption is one of "
        f"{CAPTION_TOKENS} tokens about a new image, an answer one of {ANSWER_TOKENS} about an image seen before. "
        f"{METHOD}{f' Now {busy}.' if busy else ''}",
        width=80,
        highlight=False,
        markup=False,
    )
