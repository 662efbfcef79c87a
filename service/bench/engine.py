"""Throughput of the engine without HTTP: the same rows as a busy service's, handed to it directly.

Images are decoded and cut before the clock starts. What a service is slower than this by, its API costs. Main thread
only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from model.config import PheyeConfig
from model.pixels.tiles import TiledImage, prepare
from model.prompt import caption_instruction
from model.request import Sampling
from service.configuration.settings import Settings
from service.messages.from_worker import Broken, Finished, Refused, StepReport
from service.messages.rows import Row
from service.messages.to_worker import Submit
from service.worker.engine import Engine
from service.worker.load import load_runner

if TYPE_CHECKING:
    from model.runtime.runner import ModelRunner

REQUESTS, IN_FLIGHT, MAX_TOKENS = 256, 32, 32
SIZE_PX, DETAIL_PX = (640, 480), 8
INSTRUCTIONS = (caption_instruction(), "What does the sign say?")  # in turns


@dataclass(frozen=True, slots=True)
class EngineThroughput:
    """The result of a closed loop on an engine, with a fixed number of requests in flight.

    Attributes:
        requests: how many were answered.
        in_flight: at the same time.
        max_tokens: of an answer.
        seconds: from the first step to the last answer.
        tokens: of all answers.
        encode_s, prefill_s, decode_s: what the engine spent on each.
    """

    model: str
    device: str
    dtype: str
    slots: int
    requests: int
    in_flight: int
    max_tokens: int
    seconds: float
    tokens: int
    encode_s: float
    prefill_s: float
    decode_s: float

    @property
    def answers_per_s(self) -> float:
        """The requests answered in a second."""
        return self.requests / self.seconds

    @property
    def tokens_per_s(self) -> float:
        """The answer tokens generated in a second."""
        return self.tokens / self.seconds


def engine_throughput(
    settings: Settings,
    *,
    requests: int = REQUESTS,
    in_flight: int = IN_FLIGHT,
    max_tokens: int = MAX_TOKENS,
    images: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> EngineThroughput:
    """Load the model that the settings name, keep its engine busy, and measure it.

    Args:
        settings: of an engine on one device.
        requests: how many are counted.
        in_flight: how many at the same time.
        max_tokens: of an answer.
        images: how many images the requests are about, whose features are known before the clock starts; None for as
            many as there are requests, each of them new.
        clock: seconds.

    Raises:
        ValueError: the model cannot be used, or cannot answer; the message says why.
    """
    runner = _loaded(settings)
    engine = Engine(runner, stall_s=settings.stall_s)
    ahead = images or 1
    asked = list(_submissions(runner.config, requests + ahead, max_tokens, images))
    _closed_loop(engine, iter(asked[:ahead]), 1)  # not counted
    start = clock()
    steps = _closed_loop(engine, iter(asked[ahead:]), in_flight)
    return EngineThroughput(
        model=runner.config.name,
        device=str(runner.device),
        dtype=runner.precision.name,
        slots=runner.slots,
        requests=requests,
        in_flight=in_flight,
        max_tokens=max_tokens,
        seconds=clock() - start,
        tokens=sum(step.generated_tokens for step in steps),
        encode_s=sum(step.encode_s for step in steps),
        prefill_s=sum(step.prefill_s for step in steps),
        decode_s=sum(step.decode_s for step in steps),
    )


def _loaded(settings: Settings) -> ModelRunner:
    """Load the model, and wait for compiled code if the settings want any."""
    runner = load_runner(settings, settings.devices)
    if settings.compiled_code == "auto":
        runner.prepare_compiled(wait=True)
    return runner


def _submissions(config: PheyeConfig, count: int, max_tokens: int, images: int | None) -> Iterator[Submit]:
    """Make a number of rows, each about an image of its own or about one of a few in turn."""
    known = [noise_image(number, config) for number in range(images or 0)]
    for number in range(count):
        row = Row(str(number), INSTRUCTIONS[number % len(INSTRUCTIONS)], Sampling(max_tokens=max_tokens))
        yield Submit(known[number % images] if images else noise_image(number, config), (row,))


def noise_image(number: int, config: PheyeConfig) -> TiledImage:
    """Draw blurred, coloured noise that only this number has."""
    width_px, height_px = SIZE_PX
    grid = (height_px // DETAIL_PX, width_px // DETAIL_PX, 3)
    coarse = Image.fromarray(np.random.default_rng(number).integers(256, size=grid, dtype=np.uint8))
    return prepare(coarse.resize(SIZE_PX, Image.Resampling.BICUBIC), config.vision.tile_px, config.level)


def _closed_loop(engine: Engine, submissions: Iterator[Submit], in_flight: int) -> list[StepReport]:
    """Answer all rows, never more than a few at once, and collect the report of each step."""
    steps: list[StepReport] = []
    for first in islice(submissions, in_flight):
        engine.submit(first)
    while engine.busy:
        done = engine.step()
        steps.append(done.report)
        for event in done.events:
            if isinstance(event, Broken | Refused):
                raise ValueError(f"engine: {event.detail}")
            if isinstance(event, Finished) and (following := next(submissions, None)) is not None:
                engine.submit(following)
    return steps
