"""Speed of decode steps by the number of rows, on the model as it is served, and the number of slots to set for it.

Every row is about an image of its own, in a slot of full length, since reading that is most of what one more row costs.
Main thread only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil
from statistics import median
from typing import TYPE_CHECKING, Any

from model.complexity import slot_bytes
from model.machine.free_memory import MB, available_mb
from model.pixels.tiles import ImageKey
from service.bench.engine import noise_image
from service.bench.slot_advice import RowTimes, SlotAdvice, advise
from service.configuration.settings import Settings
from service.machine.memory import need, parts
from service.worker.load import load_runner

if TYPE_CHECKING:
    from model.bench.gpu.rows import Rows
    from model.config import PheyeConfig

ROWS, TURNS = (1, 2, 4, 8, 16, 32), 7
CONTEXT_TOKENS = 80  # of a slot while it is measured: room for a prompt and some tokens
LEAST_SAMPLE_S = 0.05  # a shorter step is done several times for one sample
MEMORY_SHARE = 0.75  # of the free memory that a server may take at its start


@dataclass(frozen=True, slots=True)
class SlotSpeeds:
    """Times by rows of one model, and what follows for its slots.

    Attributes:
        model, device, dtype, threads: what was measured.
        slot_bytes: of one slot with the settings' context.
        encode_s: seconds to encode an image.
        times: of reading prompts and decoding.
        advice: how many slots to set.
    """

    model: str
    device: str
    dtype: str
    threads: int
    slot_bytes: int
    encode_s: float
    times: RowTimes
    advice: SlotAdvice

    def as_json(self) -> dict[str, Any]:
        """Return everything as a JSON object, with the answers a second by rows."""
        answers = {rows: median(self.times.answers_per_s(rows)) for rows in self.times.steps_s}
        return asdict(self) | {"answers_per_s": answers}


def slot_speeds(
    settings: Settings,
    rows: Sequence[int] = ROWS,
    *,
    turns: int = TURNS,
    clock: Callable[[], float] = time.perf_counter,
) -> SlotSpeeds:
    """Load the model that the settings name, time its decode steps, and choose a number of slots.

    Args:
        settings: of an engine on one CPU device.
        rows: of a step, the numbers to choose from.
        turns: of each number, one after another and again.
        clock: seconds.

    Raises:
        ValueError: the model cannot be used, or runs on a GPU, where slots are planned by memory.
    """
    free_mb, counts = available_mb(), sorted(set(rows))
    sizes = {"slots": counts[-1], "context_tokens": CONTEXT_TOKENS}
    runner = load_runner(settings.model_copy(update=sizes), settings.devices)
    if runner.device.type != "cpu":
        raise ValueError("--only slots: on a GPU the number of slots follows from its memory")
    if settings.compiled_code == "auto":
        runner.prepare_compiled(wait=True)
    from model.bench.gpu.rows import Rows
    from model.machine.cores import compute_threads

    batch = Rows(runner)
    encode_s, prompt_s = _fill(batch, counts[-1], clock)
    times = RowTimes(prompt_s, _steps(batch, counts, turns, clock))
    return SlotSpeeds(
        model=runner.config.name,
        device=str(runner.device),
        dtype=runner.precision.name,
        threads=settings.threads or compute_threads(runner.config),
        slot_bytes=slot_bytes(runner.config, settings.context_tokens, runner.precision.name),
        encode_s=encode_s,
        times=times,
        advice=advise(times, _most(settings, runner.config, runner.precision.name, counts, free_mb)),
    )


def _fill(batch: Rows, count: int, clock: Callable[[], float]) -> tuple[float, float]:
    """Give each slot a row about an image of its own; returns the seconds of encoding and of reading a prompt.

    The images have the same tiles, so only the first is encoded.
    """
    runner = batch.runner
    first = noise_image(0, runner.config)
    images = [replace(first, image_key=ImageKey(f"image {slot}")) for slot in range(count)]
    started = clock()
    batch.encode(images[:1])
    encode_s = clock() - started
    batch.encode(images[1:])
    prompts_s = []
    for slot, image in enumerate(images):
        started = clock()
        runner.prefill([batch.new(slot, image, batch.prompt(slot))])
        prompts_s.append(clock() - started)
    batch.close(images)
    return encode_s, median(prompts_s)


def _steps(batch: Rows, counts: Sequence[int], turns: int, clock: Callable[[], float]) -> dict[int, list[float]]:
    """Return the seconds of a step in each turn, by rows."""

    def mean_s(rows: int, calls: int) -> float:
        started = clock()
        for _ in range(calls):
            batch.repeat(rows)
        return (clock() - started) / calls

    calls = {}
    for rows in counts:
        batch.repeat(rows)  # the first sets up what is set up lazily
        calls[rows] = max(1, ceil(LEAST_SAMPLE_S / mean_s(rows, 1)))
    steps_s: dict[int, list[float]] = {rows: [] for rows in counts}
    for _ in range(turns):
        for rows in counts:
            steps_s[rows].append(mean_s(rows, calls[rows]))
    return steps_s


def _most(settings: Settings, config: PheyeConfig, dtype: str, counts: Sequence[int], free_mb: float | None) -> int:
    """Return the most slots with which a server takes no more than its share of the free memory once it is ready."""
    if free_mb is None:
        return counts[-1]

    def taken_mb(slots: int) -> float:
        return need(parts(config, dtype, settings.model_copy(update={"slots": slots}))).at_start_mb

    each = settings.devices.count(",") + 1
    spare_mb = MEMORY_SHARE * free_mb - taken_mb(1)
    more = spare_mb * MB / (each * slot_bytes(config, settings.context_tokens, dtype))
    return max(1, 1 + int(more))
