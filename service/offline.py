"""The commands that answer without a server, from paths to exit code: `pheye caption` and `pheye ask`.

Drives the same engine as the service, in this process. Owns the walk through folders, the progress bar and the exit
code; `service/batch.py` does the work and `service/results.py` writes it down. Main thread only.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from model.request import Sampling
from model.tiles import TiledImage
from service.batch import Batch, Outcome, Question, tasks_of
from service.engine import Engine
from service.images import ImageSource, tile
from service.results import Printer, ResultFile, Sink, shown
from service.settings import Settings
from service.worker import load_runner

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
STALL_S = 60.0  # nobody watches an answer grow: filling every slot comes first
EXIT_FAILURES, EXIT_INTERRUPTED = 1, 130


class NothingToDo(ValueError):
    """A path is not there, or no image is; the message names the path."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a command.

    Attributes:
        images: files, each once.
        questions: asked of every one of them.
        sampling: the same for every answer.
        results: the JSON Lines file, or None for standard output.
    """

    images: tuple[Path, ...]
    questions: tuple[Question, ...]
    sampling: Sampling
    results: Path | None


def find_images(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The files named, and the images in the folders named, each once.

    A file that is named is taken whatever it is called. Folders are walked in alphabetical order; links to folders
    are not followed.

    Raises:
        NothingToDo: a path is not there, or a folder has no image in it.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = list(_walk(path))
            if not inside:
                raise NothingToDo(f"{shown(path)}: there is no image in this folder ({', '.join(sorted(SUFFIXES))})")
            found |= dict.fromkeys(inside)
        elif path.exists():
            found[path] = None
        else:
            raise NothingToDo(f"{shown(path)}: there is no such file or folder")
    return tuple(found)


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(parent, name) for name in sorted(names) if Path(name).suffix.lower() in SUFFIXES)


def answer(settings: Settings, job: Job) -> int:
    """Answer everything.

    Returns:
        The exit code: 0, 1 if an image failed, 130 after Ctrl-C.

    Raises:
        ValueError, OSError: the model or the file of results cannot be used, or a question is too long.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if "," in settings.devices:
        raise ValueError(f"devices: {settings.devices}: this command computes on one device; choose it with --device")
    with ExitStack() as stack:
        try:
            runner = load_runner(settings, settings.devices)
            _introduce(console, settings, f"{runner.config.name} on {runner.device}, {runner.precision.reason}")
            results = stack.enter_context(ResultFile(job.results, runner.config.name)) if job.results else None
            tasks = tasks_of(job.images, job.questions, results.has if results else lambda *_: False)
            sink = results or Printer(images=len(job.images) > 1, questions=len(job.questions) > 1)
            geometry = runner.config.vision.tile_px, runner.config.level
            batch = Batch(
                Engine(runner, stall_s=STALL_S),
                lambda path: _read(path, settings.max_pixels, *geometry),
                job.sampling,
                in_flight=2 * runner.slots,
                threads=settings.preprocess_threads,
            )
            return _follow(console, batch.run(tasks), sink, total=len(tasks), skipped=len(job.images) - len(tasks))
        except KeyboardInterrupt:
            again = "; the same command goes on from here" if job.results else ""
            console.print(f"pheye: interrupted{again}", markup=False)
            return EXIT_INTERRUPTED


def _introduce(console: Console, settings: Settings, model: str) -> None:
    if console.is_terminal:
        console.print(f"pheye: {model}", markup=False)
    if settings.model.startswith("random:"):
        console.print("pheye: random weights: what they say means nothing; choose a model with --model", markup=False)


def _read(path: Path, max_pixels: int, tile_px: int, level: int) -> TiledImage:
    return tile(ImageSource(path.read_bytes()), max_pixels=max_pixels, tile_px=tile_px, level=level)


def _follow(console: Console, outcomes: Iterator[Outcome], sink: Sink, *, total: int, skipped: int) -> int:
    """Write outcomes down as they come, report failures, draw the bar."""
    failures = 0
    if skipped:
        console.print(f"pheye: {skipped} of {skipped + total} images are answered already", markup=False)
    with Progress(*_COLUMNS, console=console, disable=not console.is_terminal or total < 2) as progress:
        bar = progress.add_task("images", total=total)
        for outcome in outcomes:
            sink.add(outcome)
            for error in outcome.errors:
                progress.console.print(f"pheye: {shown(outcome.task.image)}: {error}", markup=False)
            failures += bool(outcome.errors)
            progress.advance(bar)
    if failures:
        console.print(f"pheye: {failures} of {total} images failed", markup=False)
    return EXIT_FAILURES if failures else 0


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0.0:.2f} images/s")


_COLUMNS: Sequence[ProgressColumn] = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    _RateColumn(),
    TimeRemainingColumn(),
)
