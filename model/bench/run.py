"""Benchmark run: one section after another, one model in memory at a time, each result as soon as it is there.

Owns the order of loading, so that a full-size model and its twin fit where one of them does: the twin's tensors are
made once for all number formats that are held against it, and shared. One thread.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from model.bench.halves import Half, Twin, load_fast, load_twin, trimmed
from model.bench.machine import peak_bytes, reset_peak, this_machine
from model.bench.model_under_test import ModelUnderTest
from model.bench.plan import MEMORY, Section
from model.bench.result import BenchReport, BenchResult, CachedImage
from model.bench.roofline.ceilings import PROBES, Ceilings, measure_ceilings
from model.bench.roofline.floors import PassCosts, floor
from model.bench.targets import judge
from model.bench.timing import Stopwatch, race
from model.bench.workloads import CAPTION_TOKENS, KINDS
from model.checkpoint.checkpoint import Checkpoint, open_checkpoint, read_config
from model.complexity import feature_bytes, parameters, slot_bytes, weight_bytes
from model.machine.cores import usable_cores
from model.pixels.tiles import ImageKey, TiledImage
from model.provenance import commit
from model.request import TileSpan
from model.runtime.hardware import Precision, choose_precision, resolve_device
from model.runtime.runner import ModelRunner

Finding = Ceilings | BenchResult | CachedImage


@dataclass(frozen=True, slots=True)
class BenchSession:
    """Device, clock and ceilings that every section is measured with.

    Attributes:
        device: where everything computes.
        watch: times it, and waits for it.
        tell: is given a line before anything that takes long.
    """

    device: torch.device
    watch: Stopwatch
    tell: Callable[[str], None]


def open_session(device: str, threads: int, tell: Callable[[str], None]) -> BenchSession:
    """Prepare this process to measure on `cpu` or `cuda`; 0 threads are as many as there are cores.

    Raises:
        ValueError: no such device here.
    """
    torch.set_num_threads(threads or usable_cores())
    where = resolve_device(device)
    watch = Stopwatch(settle=lambda: torch.cuda.synchronize(where)) if where.type == "cuda" else Stopwatch()
    return BenchSession(where, watch, tell)


def run(sections: Sequence[Section], session: BenchSession) -> Iterator[Finding]:
    """Measure everything that the sections ask for.

    Raises:
        ValueError: a model or a number format cannot be used; the message says what to change.
    """
    for section in sections:
        yield from _section(section, session)


def report(sections: Sequence[Section], found: Sequence[Finding], device: torch.device) -> BenchReport:
    """Build the report of these sections so far, with a verdict on each target."""
    results = tuple(each for each in found if isinstance(each, BenchResult))
    return BenchReport(
        sections=tuple(sections),
        machine=this_machine(device),
        commit=commit(Path(__file__).parent),
        ceilings=tuple(each for each in found if isinstance(each, Ceilings)),
        results=results,
        cached=tuple(each for each in found if isinstance(each, CachedImage)),
        verdicts=judge(device.type, results),
    )


def check(sections: Sequence[Section], device: torch.device) -> None:
    """Check that every model can be had and every number format computed, before an hour of work.

    Raises:
        ValueError: one cannot; the message says what to change.
    """
    for section in sections:
        config = read_config(section.model)
        for dtype in section.dtypes:
            choose_precision(dtype, device, config)
        if section.prompt_tokens + CAPTION_TOKENS > config.decoder.max_positions:
            raise ValueError(f"--prompt-tokens: {section.name} has room for {config.decoder.max_positions} tokens")


def needed_bytes(sections: Sequence[Section]) -> int:
    """Estimate the memory that the largest section takes: weights of the twin and the fast path, slots of its rows."""
    return max((_bytes_of_both(section, dtype) for section in sections for dtype in section.dtypes), default=0)


def _bytes_of_both(section: Section, dtype: str) -> int:
    halves = _halves(section)
    if not halves:
        return 0
    config = trimmed(open_checkpoint(section.model), halves).config
    weights = parameters(config).total * twin_dtype(dtype).itemsize + weight_bytes(config, dtype)
    rows = max(max(section.work[name]) for name in section.work if name in KINDS)
    return weights + rows * slot_bytes(config, section.prompt_tokens + CAPTION_TOKENS, dtype)


def _halves(section: Section) -> frozenset[Half]:
    """Tell what of the model the section's workloads need."""
    return frozenset().union(*(KINDS[name].halves for name in section.work if name in KINDS))


def _section(section: Section, session: BenchSession) -> Iterator[Finding]:
    checkpoint = open_checkpoint(section.model)
    halves = _halves(section)
    twin: Twin | None = None
    for dtype in section.dtypes:
        precision = choose_precision(dtype, session.device, checkpoint.config)
        session.tell(f"{section.name} {dtype}: ceilings")
        ceilings = measure_ceilings(
            section.name, checkpoint.config, session.device, dtype, PROBES[session.device.type], session.watch
        )
        yield ceilings
        if MEMORY in section.work:
            yield cached_image(section.name, dtype, checkpoint, session.device, precision)
        if not halves:
            continue
        if twin is None or twin.dtype != twin_dtype(dtype):
            session.tell(f"{section.name}: loading")
            twin = None  # there may not be room for two
            twin = load_twin(trimmed(checkpoint, halves), session.device, twin_dtype(dtype))
        yield from _raced(section, dtype, precision, twin, ceilings, session)
        _let_go(session.device)


def twin_dtype(dtype: str) -> torch.dtype:
    """Return the dtype of the naive twin: the same, but for int8 and int4, which it does not know."""
    other: torch.dtype = getattr(torch, dtype) if dtype not in ("int8", "int4") else torch.float32
    return other


def _raced(
    section: Section, dtype: str, precision: Precision, twin: Twin, ceilings: Ceilings, session: BenchSession
) -> Iterator[BenchResult]:
    fast = load_fast(twin, precision)
    under_test = ModelUnderTest(
        twin, fast, precision, PassCosts(fast.config, dtype), section.prompt_tokens, section.shared_image
    )
    for name in section.work:
        for rows in section.work[name] if name in KINDS else ():
            session.tell(f"{section.name} {dtype}: {name}, {rows}")
            yield from _timed(section, dtype, under_test, name, rows, ceilings, session)


@torch.inference_mode()
def _timed(
    section: Section,
    dtype: str,
    under_test: ModelUnderTest,
    name: str,
    rows: int,
    ceilings: Ceilings,
    session: BenchSession,
) -> list[BenchResult]:
    reset_peak(session.device)
    workload = KINDS[name].build(under_test, rows)
    raced = race(workload.baseline, workload.fast, section.repeats, session.watch, section.long_repeats)
    agreement, peak = workload.agreement(raced.baseline, raced.fast), peak_bytes(session.device)
    return [
        BenchResult(
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
    """Encode an image into a runner's feature cache and measure it; only the model's sizes matter, not its depth."""
    small = trimmed(checkpoint, frozenset())
    runner = ModelRunner(small, device, precision, slots=1, context_tokens=16)
    side, tiles = small.config.vision.tile_px, small.config.tiles
    noise = torch.randint(256, (tiles, side, side, 3), dtype=torch.uint8).numpy()  # equal tiles would be kept once
    image = TiledImage(ImageKey("noise"), side, side, noise)
    runner.open_image(image)
    runner.encode([TileSpan(image.image_key, 0, tiles)])
    return CachedImage(name, dtype, runner.cache_bytes, feature_bytes(small.config, dtype))


def _let_go(device: torch.device) -> None:
    """Free what the last fast path has held, before the next is loaded."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
