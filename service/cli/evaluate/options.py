"""Options that the commands of `pheye evaluate` share, and the way from cases to a table and an exit code.

Knows no data set. Engine and HTTP client are imported when one is wanted. Main thread only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from service.cli.options.answerer_options import (
    IMAGE_SETTINGS,
    MODEL_SETTINGS,
    AnswererOptions,
    engine_settings,
    server,
)
from service.cli.options.dataclass_options import Command, options, take
from service.cli.options.flags import OFFLINE_NAMES, fail, fail_for, setting_flags

if TYPE_CHECKING:
    from model.evaluation.case import Case
    from model.evaluation.submission import SubmissionFormat
    from service.batch.run import Answerer
    from service.evaluation.run import Evaluation

MAX_PIXELS = 50_000_000  # of an image that is shrunk here for a service elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """The options of every data set."""

    jsonl: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT",
            help="File of all answers; run again to continue where it ended. Default DATASET.answers.jsonl; the "
            "scores go into OUT with .scores.json instead of .jsonl. - is standard output; the table then goes to "
            "standard error, and nothing is continued.",
        ),
    ] = None
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Ask only so many cases, drawn at random.")] = (
        None
    )
    seed: Annotated[int, typer.Option(help="With --limit: which cases.")] = 0
    max_tokens: Annotated[
        int | None, typer.Option(min=1, max=2048, help="Most tokens of an answer; the default suits the data set.")
    ] = None
    shrink_px: Annotated[
        int,
        typer.Option(metavar="N", min=0, max=4096, help="Shrink images to N x N pixels first; 0 leaves them as is."),
    ] = 0
    attention: Annotated[
        bool, typer.Option("--attention", help="Also record the share of attention on the global view, by layer.")
    ] = False
    submission: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write the answers as the data set's evaluation server takes them; - is standard output.",
        ),
    ] = None


def evaluating(command: Command) -> Command:
    """Replace a command's `**words` by `EvaluateOptions`, `AnswererOptions` and a flag for each engine setting."""
    settings = setting_flags(*MODEL_SETTINGS, *IMAGE_SETTINGS, renamed=OFFLINE_NAMES)
    return options(EvaluateOptions, AnswererOptions, settings)(command)


def evaluate_cases(
    dataset: str,
    read: Callable[[], Sequence[Case]],
    words: Mapping[str, Any],
    *,
    max_tokens: int,
    form: SubmissionFormat | None = None,
) -> NoReturn:
    """Ask, judge, write and print; then end the command with its exit code.

    Args:
        dataset: its name, part of file names and of every line written.
        read: gives the cases.
        words: `EvaluateOptions`, `AnswererOptions` and settings, as `evaluating` declares them.
        max_tokens: most tokens of an answer, unless the user says.
        form: what its evaluation server takes; None if there is none.
    """
    own, rest = take(EvaluateOptions, words)
    where, flags = take(AnswererOptions, rest)
    if own.submission is not None and form is None:
        fail(f"--submission: {dataset} has no evaluation server")
    try:
        run = _evaluation(dataset, read, own, max_tokens)
        code = _carry_out(run, where, flags)
        _tell(run, own, form, code)
    except (ValueError, OSError) as error:
        fail_for(error)
    raise typer.Exit(code)


def known_outside_answer(words: Mapping[str, Any]) -> str | None:
    """Return the sentence by which the model that is asked says that it does not know; None if nobody tells.

    Raises:
        ValueError: its checkpoint, or what that says of it, cannot be read, or no service answers.
    """
    where, flags = take(AnswererOptions, take(EvaluateOptions, words)[1])
    if where.server is not None:
        from service.batch.answerers.server import contact

        card = contact(server(where, flags), lambda line: typer.echo(f"pheye: {line}", err=True))
        return card.model.outside_answer if card.model else None
    model, revision = (settings := engine_settings(where, flags)).model, settings.revision
    if model.startswith("random:"):
        return None
    from model.checkpoint.about_file import read_about
    from model.checkpoint.sources import folder_of

    about = read_about(folder_of(model, revision))
    return about.outside_answer if about else None


def files_in(folder: Path) -> list[Path]:
    """List the images in a folder.

    Raises:
        ValueError: there is none.
    """
    from service.batch.find_images import find_images

    return [place for place in find_images([folder]) if isinstance(place, Path)]


def cache_folder(name: str) -> Path:
    """Return where what can be made again is kept, by version: another one may draw other images.

    A folder that stays the same, and not a temporary one: a run that is continued asks about the same paths.
    """
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "pheye" / installed_version("pheye-service") / name


def _evaluation(dataset: str, read: Callable[[], Sequence[Case]], own: EvaluateOptions, max_tokens: int) -> Evaluation:
    from model.evaluation.case import subset
    from service.evaluation.run import Evaluation, check_outputs

    results = own.jsonl or Path(f"{dataset}.answers.jsonl")
    check_outputs(results, own.submission)
    chosen = subset(read(), own.limit, own.seed)
    if not chosen:
        fail(f"{dataset}: there is no case in it")
    if not chosen[0].image_path.exists():
        fail(f"{chosen[0].image_path}: there is no such image; is this the folder of the data set's images?")
    return Evaluation(
        dataset, chosen, results, own.max_tokens or max_tokens, shrink_px=own.shrink_px, attention=own.attention
    )


def _carry_out(run: Evaluation, where: AnswererOptions, flags: Mapping[str, str | None]) -> int:
    from service.batch.run import carry_out

    return carry_out(run, _starter(run, where, flags))


def _starter(run: Evaluation, where: AnswererOptions, flags: Mapping[str, str | None]) -> Callable[[Any], Answerer]:
    """Prepare who answers: an engine in this process, or a service."""
    from service.evaluation.shrinking import shrunk

    if where.server is None:
        settings = engine_settings(where, flags)
        if run.shrink_px:
            run.prepare = partial(shrunk, side_px=run.shrink_px, max_pixels=settings.max_pixels)
        from service.batch.answerers.offline import engine

        return engine(settings, run.answer_options)
    asked = server(where, flags)
    if run.shrink_px:
        run.prepare = partial(shrunk, side_px=run.shrink_px, max_pixels=MAX_PIXELS)
    from service.batch.answerers.remote import service

    return service(asked, run.answer_options)


def _tell(run: Evaluation, own: EvaluateOptions, form: SubmissionFormat | None, code: int) -> None:
    from rich.console import Console

    from service.batch.run import EXIT_INTERRUPTED
    from service.evaluation import run as report

    if code == EXIT_INTERRUPTED or not run.answers:
        return
    scores = report.write_report(run.answers, len(run.cases), run.results)
    if scores:  # apart from what else goes to standard output
        aside = Path("-") in (run.results, own.submission) or not run.resumable
        report.print_scores(scores, Console(stderr=aside))
    else:
        typer.echo("pheye: these cases have no references; only their evaluation server can judge them", err=True)
    if len(run.answers) < len(run.cases):
        typer.echo(f"pheye: {len(run.cases) - len(run.answers)} of {len(run.cases)} cases are not counted", err=True)
    if own.submission is not None and form is not None:
        report.write_submission(run.answers, form, own.submission)
    if run.resumable:
        typer.echo(f"pheye: written {run.results} and {report.beside(run.results, '.scores.json')}", err=True)
