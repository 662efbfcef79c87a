"""Options that `pheye caption` and `pheye ask` share, and the way from them to answers.

Turns words into a `Job` for `service.batch.answerers.offline` or `service.batch.answerers.remote`, and imports only the
one that is wanted: who asks a service need not wait for torch. Main thread only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand

from service.cli.options.answerer_options import (
    IMAGE_SETTINGS,
    MODEL_SETTINGS,
    AnswererOptions,
    Flags,
    engine_settings,
    server,
)
from service.cli.options.dataclass_options import Command, options, take
from service.cli.options.flags import OFFLINE_NAMES, current_names, fail, fail_for, setting_flags

if TYPE_CHECKING:
    from service.batch.run import Job
    from service.batch.task import Question
    from service.schemas.requests import SamplingFields

_MAX_TOKENS = "default_max_tokens"  # the one setting of an engine that a service can be asked for too


@dataclass(frozen=True, slots=True, kw_only=True)
class AskOptions:
    """The options of both commands; the field order is the order of their help."""

    temperature: Annotated[float, typer.Option(help="Randomness, 0 (greedy) to 2.")] = 0.0
    top_p: Annotated[float, typer.Option(help="Probability mass to draw tokens from, above 0 up to 1.")] = 1.0
    seed: Annotated[int, typer.Option(help="Makes sampling repeatable.")] = 0
    stop: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="End an answer before this text; up to 4 times.")
    ] = None
    jsonl: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT",
            help="Write one JSON object a line instead of text; run again to continue where it ended. - is standard "
            "output. A name that ends in .parquet is written as Parquet.",
        ),
    ] = None
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the one answer as a JSON object, with all that is known of it.")
    ] = False
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Answer only part I, from 1 on, of N parts of the images, equal on average; each machine takes one.",
        ),
    ] = None


def answering(command: Command) -> Command:
    """Replace a command's `**words` by `AskOptions`, `AnswererOptions` and a flag for each setting of the engine."""
    settings = setting_flags(*MODEL_SETTINGS, _MAX_TOKENS, *IMAGE_SETTINGS, renamed=OFFLINE_NAMES)
    return options(AskOptions, AnswererOptions, settings)(command)


class ImageCommand(TyperCommand):
    """A command about images whose names may begin with a hyphen, as a shell's *.jpg gives them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take a word that is no option but the name of a file for the file."""
        known = {flag for parameter in self.params for flag in (*parameter.opts, *parameter.secondary_opts)}
        end = args.index("--") if "--" in args else len(args)
        words = [f"./{word}" if _names_file(word, known) else word for word in args[:end]]
        return super().parse_args(ctx, words + args[end:])


def _names_file(word: str, known: Set[str]) -> bool:
    if not word.startswith("-") or word == "-" or word.partition("=")[0] in known:
        return False
    try:
        return Path(word).is_file()
    except OSError:  # too long for a name
        return False


@dataclass(frozen=True, slots=True)
class _Typed:
    """A whole command line, checked against the bounds of a request."""

    images: Sequence[str]
    questions: Sequence[Question]
    sampling: SamplingFields
    options: AskOptions
    where: AnswererOptions
    flags: Flags

    def job(self, default_max_tokens: int | None) -> Job:
        """Make the job that is to be answered; None leaves the length of answers to whoever answers."""
        from model.request import Sampling
        from service.batch.find_images import find_images
        from service.batch.run import Job
        from service.batch.shard import Shard

        chosen = Sampling(
            max_tokens=self.sampling.max_tokens or default_max_tokens or 1,
            temperature=self.sampling.temperature,
            top_p=self.sampling.top_p,
            seed=self.sampling.seed or 0,
            stop=tuple(self.sampling.stop or ()),
        )
        own = self.options
        images = find_images(self.images, Shard.parse(own.shard) if own.shard is not None else None)
        if own.as_json and (len(images) != 1 or len(self.questions) != 1):
            fail("--json: for one question about one image; with more, --jsonl - writes one JSON object a line")
        may_shorten = self.flags[_MAX_TOKENS] is None
        unknown = self.sampling.max_tokens is None and default_max_tokens is None
        return Job(images, tuple(self.questions), chosen, own.jsonl, may_shorten, own.as_json, unknown)


def answer(
    images: Sequence[str], questions: Sequence[Question], kind: Any, asked: Mapping[str, Any], words: Mapping[str, Any]
) -> NoReturn:
    """Answer the command line, and end the command with its exit code.

    Args:
        images: files, folders and URLs.
        questions: asked of every image.
        kind: the request that this would be over HTTP.
        asked: that request's own fields.
        words: `AskOptions`, `AnswererOptions` and settings, as `answering` declares them.
    """
    own, rest = take(AskOptions, words)
    if own.as_json and own.jsonl is not None:
        fail("--json and --jsonl: choose one of them")
    where, typed_flags = take(AnswererOptions, rest)
    flags = current_names(typed_flags)
    sampling = {name: getattr(own, name) for name in ("temperature", "top_p", "seed", "stop")}
    if where.server is not None:
        sampling["max_tokens"] = flags[_MAX_TOKENS]
    typed = _Typed(images, questions, _checked(kind, {**asked, "settings": sampling}).sampling, own, where, flags)
    try:
        code = _here(typed) if where.server is None else _there(typed)
    except (ValueError, OSError) as error:
        fail_for(error)
    raise typer.Exit(code)


def _checked(kind: Any, asked: dict[str, Any]) -> Any:
    """Check these options as a request, with the same bounds as one over HTTP."""
    from service.errors import ServiceError
    from service.schemas.requests import check

    try:
        return check(kind, asked, strict=False)
    except ServiceError as error:
        fail(error.detail.replace("settings.", ""))


def _here(typed: _Typed) -> int:
    """Answer by an engine in this process."""
    settings = engine_settings(typed.where, typed.flags)
    job = typed.job(settings.default_max_tokens)
    if not job.images:
        return _nothing(typed)
    from service.batch.answerers.offline import answer as run

    return run(settings, job)


def _there(typed: _Typed) -> int:
    """Answer by a running service."""
    asked = server(typed.where, {name: value for name, value in typed.flags.items() if name != _MAX_TOKENS})
    job = typed.job(default_max_tokens=None)
    if not job.images:
        return _nothing(typed)
    from service.batch.answerers.remote import answer as run

    return run(asked, job)


def _nothing(typed: _Typed) -> int:
    """Tell that a shard is empty, which is no mistake: a small folder has fewer images than a large cluster shards."""
    typer.echo(f"pheye: none of the images belongs to shard {typed.options.shard}", err=True)
    return 0
