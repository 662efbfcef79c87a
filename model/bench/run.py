"""The benchmark's run: one section after another, one model in memory at a time, each finding as soon as it is there.

Owns the order of loading, so that a full-size model and its twin fit where one of them does: the twin's tensors are
made once for all number formats that are held against it, and shared. One thread.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from model.bench.bed import Bed
from model.bench.ceilings import PROBES, Ceilings, measure_ceilings
from model.bench.floors import Costs, floor
from model.bench.halves import Half, Twin, load_fast, load_twin, trimmed
from model.bench.machine import peak_bytes, reset_peak, this_machine
from model.bench.plan import MEMORY, Section
from model.bench.result import CachedImage, Report, Result
from model.bench.targets import judge
from model.bench.timing import Stopwatch, race
from model.bench.workloads import CAPTION_TOKENS, KINDS
from model.checkpoint.checkpoint import Checkpoint, open_checkpoint, read_config
from model.complexity import feature_bytes
from model.provenance import commit
from model.request import TileSpan
from model.runtime.hardware import Precision, choose_precision, resolve_device, usable_cores
from model.runtime.runner import ModelRunner
from model.tiles import ImageKey, TiledImage

Finding = Ceilings | Result | CachedImage


@dataclass(frozen=True, slots=True)
class Desk:
    """What every section is measured with.

    Attributes:
        device: where everything computes.
        watch: times it, and waits for it.
        tell: is given a line before anything that takes long.
    """

    device: torch.device
    watch: Stopwatch
    tell: Callable[[str], None]


def open_desk(device: str, threads: int, tell: Callable[[str], None]) -> Desk:
    """Get this process ready to measure on `cpu` or `cuda`; 0 threads are as many as there are cores.

    Raises:
        ValueError: no such device here.
    """
    torch.set_num_threads(threads or usable_cores())
    where = resolve_device(device)
    watch = Stopwatch(settle=lambda: torch.cuda.synchronize(where)) if where.type == "cuda" else Stopwatch()
    return Desk(where, watch, tell)


def run(sections: Sequence[Section], desk: Desk) -> Iterator[Finding]:
    """Everything that the sections ask for.

    Raises:
        ValueError: a model or a number format cannot be used; the message says what to change.
    """
    for section in sections:
        yield from _section(section, desk)


def report(sections: Sequence[Section], found: Sequence[Finding], device: torch.device) -> Report:
    """What a run of these sections has found so far, held against the targets."""
    results = tuple(each for each in found if isinstance(each, Result))
    return Report(
        sections=tuple(sections),
        machine=this_machine(device),
        commit=commit(Path(__file__).parent),
        ceilings=tuple(each for each in found if isinstance(each, Ceilings)),
        results=results,
        cached=tuple(each for each in found if isinstance(each, CachedImage)),
        verdicts=judge(device.type, results),
    )


def check(sections: Sequence[Section], device: torch.device) -> None:
    """See that every model can be had and every number format computed, before an hour of work.

    Raises:
        ValueError: one cannot; the message says what to change.
    """
    for section in sections:
        config = read_config(section.model)
        for dtype in section.dtypes:
            choose_precision(dtype, device, config)
        if section.prompt_tokens + CAPTION_TOKENS > config.decoder.max_positions:
            raise ValueError(f"--prompt-tokens: {section.name} has room for {config.decoder.max_positions} tokens")


def _section(section: Section, desk: Desk) -> Iterator[Finding]:
    checkpoint = open_checkpoint(section.model)
    halves: frozenset[Half] = frozenset().union(*(KINDS[name].halves for name in section.work if name in KINDS))
    twin: Twin | None = None
    for dtype in section.dtypes:
        precision = choose_precision(dtype, desk.device, checkpoint.config)
        desk.tell(f"{section.name} {dtype}: ceilings")
        ceilings = measure_ceilings(
            section.name, checkpoint.config, desk.device, dtype, PROBES[desk.device.type], desk.watch
        )
        yield ceilings
        if MEMORY in section.work:
            yield cached_image(section.name, dtype, checkpoint, desk.device, precision)
        if not halves:
            continue
        if twin is None or twin.dtype != twin_dtype(dtype):
            desk.tell(f"{section.name}: loading")
            twin = None  # there may not be room for two
            twin = load_twin(trimmed(checkpoint, halves), desk.device, twin_dtype(dtype))
        yield from _raced(section, dtype, precision, twin, ceilings, desk)
        _let_go(desk.device)


def twin_dtype(dtype: str) -> torch.dtype:
    """What the naive twin computes in: the same, but for int8, which it knows nothing of."""
    other: torch.dtype = getattr(torch, dtype) if dtype != "int8" else torch.float32
    return other


def _raced(
    section: Section, dtype: str, precision: Precision, twin: Twin, ceilings: Ceilings, desk: Desk
) -> Iterator[Result]:
    fast = load_fast(twin, precision)
    bed = Bed(twin, fast, precision, Costs(fast.config, dtype), section.prompt_tokens, section.shared_image)
    for name in section.work:
        for rows in section.work[name] if name in KINDS else ():
            desk.tell(f"{section.name} {dtype}: {name}, {rows}")
            yield from _timed(section, dtype, bed, name, rows, ceilings, desk)


@torch.inference_mode()
def _timed(
    section: Section, dtype: str, bed: Bed, name: str, rows: int, ceilings: Ceilings, desk: Desk
) -> list[Result]:
    reset_peak(desk.device)
    workload = KINDS[name].build(bed, rows)
    raced = race(workload.baseline, workload.fast, section.repeats, desk.watch)
    agreement, peak = workload.agreement(raced.baseline, raced.fast), peak_bytes(desk.device)
    return [
        Result(
            model=section.name,
            dtype=dtype,
            workload=mark.name,
            rows=rows,
            images=workload.images,
            race=timed,
            tokens=mark.tokens,
            agreement=agreement,
            floor=floor(mark.passes, ceilings),
            peak_bytes=peak,
        )
        for mark, timed in zip(workload.marks, raced.races, strict=True)
    ]


def cached_image(
    name: str, dtype: str, checkpoint: Checkpoint, device: torch.device, precision: Precision
) -> CachedImage:
    """Encode an image into a runner's cache and ask what it holds; of the model only sizes matter, not its depth."""
    small = trimmed(checkpoint, frozenset())
    runner = ModelRunner(small, device, precision, slots=1, context_tokens=16)
    side, tiles = small.config.vision.tile_px, small.config.tiles
    blank = torch.zeros((tiles, side, side, 3), dtype=torch.uint8).numpy()
    image = TiledImage(ImageKey("blank"), side, side, blank)
    runner.open_image(image)
    runner.encode([TileSpan(image.image_key, 0, tiles)])
    return CachedImage(name, dtype, runner.cache_bytes, feature_bytes(small.config, dtype))


def _let_go(device: torch.device) -> None:
    """Give back what the last fast path has held, before the next is loaded."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
