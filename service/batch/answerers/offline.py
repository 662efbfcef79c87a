"""Batch answers without a server: the service's own engine, in this process.

Owns the loading and what is told of it; `service.batch.answerers.local` does the work and `service.batch.run` follows
it. Main thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Timer
from typing import TYPE_CHECKING

from rich.console import Console

from model.bounded_files import MOST_BYTES, read_at_most
from model.pixels.tiles import TiledImage
from service.batch.answerers.local import LocalRun
from service.batch.run import Answerer, Job, carry_out
from service.batch.task import AnswerOptions, ImagePlace, StandardInput
from service.configuration.plain_words import plain_value
from service.configuration.settings import Settings
from service.decoding.decode import silence_pillow, tile
from service.errors import TooLarge
from service.fetching.fetcher import fetch_for_user
from service.fetching.urls import ImageLink
from service.images import ImageSource
from service.worker.engine import Engine
from service.worker.load import load_runner

if TYPE_CHECKING:
    from model.runtime.runner import ModelRunner

LOADING_S = 2.0  # after which who waits at a terminal is told for what
STALL_S = 60.0  # nobody watches an answer grow: filling every slot comes first


def answer(settings: Settings, job: Job) -> int:
    """Answer a whole job in this process.

    Returns:
        The exit code, as `service.batch.run.carry_out`.

    Raises:
        ValueError, OSError: the model or the file of results cannot be used, or a question is too long.
    """
    return carry_out(job, engine(settings, job.answer_options))


def engine(settings: Settings, answer_options: AnswerOptions) -> Callable[[Console], Answerer]:
    """Prepare an engine in this process, for `service.batch.run.carry_out`.

    Raises:
        ValueError: the settings name several devices; and when it is called, the model cannot be used.
    """
    if "," in settings.devices:
        raise ValueError(f"devices: {settings.devices}: this command computes on one device; choose it with --device")

    def start(console: Console) -> Answerer:
        silence_pillow()
        with loading_told(console, settings.model):
            runner = load_runner(settings, settings.devices)
        knows = runner.about.knows if runner.about else None
        world = f"; it knows {plain_value(knows)}" if knows else ""
        _introduce(console, settings, f"{runner.config.name} on {runner.device}, {runner.precision.reason}{world}")
        run = _batch(settings, answer_options, runner).run
        precision = runner.precision.name + (", images decoded exactly" if settings.exact_decoding else "")
        return Answerer(runner.config.name, run, runner.fingerprint, knows, precision=precision)

    return start


@contextmanager
def loading_told(console: Console, model: str) -> Iterator[None]:
    """Say what is loading, if it takes longer than a moment and somebody watches."""
    if not console.is_terminal:
        yield
        return
    timer = Timer(LOADING_S, console.print, (f"pheye: loading {plain_value(model)} ...",), {"markup": False})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # its line is whole before the next


def _batch(settings: Settings, answer_options: AnswerOptions, runner: ModelRunner) -> LocalRun:
    tile_px, level, ended = runner.config.vision.tile_px, runner.config.level, Event()

    def read(image: ImagePlace) -> TiledImage:
        source = ImageSource(answer_options.prepare(_file(image, settings.max_body_bytes, ended.is_set)))
        exact = settings.exact_decoding
        return tile(source, max_pixels=settings.max_pixels, tile_px=tile_px, level=level, exact=exact)

    return LocalRun(
        Engine(runner, stall_s=STALL_S),
        read,
        answer_options,
        in_flight=2 * runner.slots,
        threads=settings.decoders,
        ended=ended,
    )


def _file(image: ImagePlace, most_fetched_bytes: int, stopped: Callable[[], bool] | None = None) -> bytes:
    match image:
        case ImageLink():
            return fetch_for_user(image, most_fetched_bytes, stopped)
        case StandardInput(content):
            return content
        case _:
            content = read_at_most(image, stopped=stopped)
            if len(content) > MOST_BYTES:
                raise TooLarge("image: there is more than 1 GiB in its file; this is no image")
            return content


def _introduce(console: Console, settings: Settings, model: str) -> None:
    if console.is_terminal:
        console.print(f"pheye: {model}", markup=False)
    if settings.model.startswith("random:"):
        console.print("pheye: random weights: what they say means nothing; choose a model with --model", markup=False)
