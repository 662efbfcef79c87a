"""What `pheye caption` and `pheye ask` have in common: their options, and who answers, an engine here or a service.

Turns words into a `Job` for `service.offline` or `service.remote`, and imports only the one that is wanted: who asks a
service need not wait for torch. Main thread only.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Self, get_type_hints

import typer

from service.flags import OFFLINE_NAMES, fail, flag_of, read_settings, settings_flags

if TYPE_CHECKING:
    from service.batch import Question
    from service.job import Job
    from service.schemas import SamplingFields

Command = Callable[..., None]
Flags = Mapping[str, str | None]  # settings of the engine, as they were typed

_engine_flags = settings_flags(
    *("model", "revision", "name", "devices", "dtype", "threads", "slots", "context_tokens"),
    *("default_max_tokens", "feature_cache_bytes", "max_pixels", "preprocess_threads"),
    renamed=OFFLINE_NAMES,
)
_MAX_TOKENS = "default_max_tokens"  # the one of them that a service can be asked for too


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
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
            metavar="OUT", help="Write one JSON object a line instead of text; run again to continue where it ended."
        ),
    ] = None
    server: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Let the service at this address answer, with its model and its settings."),
    ] = None
    in_flight: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=1024, help="With --server: images sent at the same time; default 16."),
    ] = None
    retry_for: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0.0,
            help="With --server: how long to try again while it is full, restarting or away; default 300.",
        ),
    ] = None
    api_key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --server: a file that holds nothing but the API key.")
    ] = None

    @classmethod
    def take(cls, words: Mapping[str, Any]) -> tuple[Self, Flags]:
        """These options out of everything a command was given, and the rest, which are settings."""
        own = {each.name for each in fields(cls)}
        given = {name: value for name, value in words.items() if name in own}
        return cls(**given), {name: value for name, value in words.items() if name not in own}


def answering(command: Command) -> Command:
    """Replace a command's `**words` by `Options` and a flag for each setting of the engine."""
    signature, hints = inspect.signature(command, eval_str=True), get_type_hints(Options, include_extras=True)
    *own, rest = signature.parameters.values()
    shared = [
        inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=hints[each.name])
        for each in fields(Options)
    ]
    command.__signature__ = signature.replace(parameters=[*own, *shared, rest])  # type: ignore[attr-defined]
    return _engine_flags(command)


@dataclass(frozen=True, slots=True)
class _Typed:
    """A whole command line, held to the bounds of a request."""

    paths: Sequence[Path]
    questions: Sequence[Question]
    sampling: SamplingFields
    options: Options
    flags: Flags

    def job(self, default_max_tokens: int) -> Job:
        """What is to be answered."""
        from model.request import Sampling
        from service.job import Job, find_images

        chosen = Sampling(
            max_tokens=self.sampling.max_tokens or default_max_tokens,
            temperature=self.sampling.temperature,
            top_p=self.sampling.top_p,
            seed=self.sampling.seed or 0,
            stop=tuple(self.sampling.stop or ()),
        )
        may_shorten = self.flags[_MAX_TOKENS] is None
        return Job(find_images(self.paths), tuple(self.questions), chosen, self.options.jsonl, may_shorten)


def answer(
    paths: Sequence[Path], questions: Sequence[Question], kind: Any, asked: Mapping[str, Any], words: Mapping[str, Any]
) -> NoReturn:
    """Answer, and end the command with its exit code.

    Args:
        paths: files and folders.
        questions: asked of every image.
        kind: the request that this would be over HTTP.
        asked: that request's own fields.
        words: `Options` and settings, as `answering` declares them.
    """
    options, flags = Options.take(words)
    sampling = {name: getattr(options, name) for name in ("temperature", "top_p", "seed", "stop")}
    if options.server is not None:
        sampling["max_tokens"] = flags[_MAX_TOKENS]
    typed = _Typed(paths, questions, _checked(kind, {**asked, "settings": sampling}).sampling, options, flags)
    try:
        code = _here(typed) if options.server is None else _there(typed, options.server)
    except BrokenPipeError:
        raise  # typer ends quietly when `head` has seen enough
    except (ValueError, OSError) as error:
        fail(str(error))
    raise typer.Exit(code)


def _checked(kind: Any, asked: dict[str, Any]) -> Any:
    """The request these options stand for, held to the same bounds as one over HTTP."""
    from service.errors import ServiceError
    from service.schemas import check

    try:
        return check(kind, asked, strict=False)
    except ServiceError as error:
        fail(error.detail.replace("settings.", ""))


def _here(typed: _Typed) -> int:
    """By an engine in this process."""
    options = typed.options
    given = {"--in-flight": options.in_flight, "--retry-for": options.retry_for, "--api-key-file": options.api_key_file}
    refused = [flag for flag, value in given.items() if value is not None]
    if refused:
        fail(f"{', '.join(refused)}: only with --server")
    settings = read_settings(typed.flags, OFFLINE_NAMES)
    from service.offline import answer as run

    return run(settings, typed.job(settings.default_max_tokens))


def _there(typed: _Typed, url: str) -> int:
    """By a service. Settings in the environment are those of a process that computes, and this one does not."""
    given = [name for name, value in typed.flags.items() if value is not None and name != _MAX_TOKENS]
    if given:
        flags = ", ".join(flag_of(name, OFFLINE_NAMES) for name in given)
        fail(f"{flags}: not with --server; the service has a model and settings of its own")
    from service.contact import Server, check_url, read_key
    from service.remote import answer as run

    options, default = typed.options, Server(check_url(url))
    server = Server(
        default.url,
        read_key(options.api_key_file) if options.api_key_file is not None else None,
        in_flight=options.in_flight if options.in_flight is not None else default.in_flight,
        retry_for_s=options.retry_for if options.retry_for is not None else default.retry_for_s,
    )
    return run(server, typed.job(default_max_tokens=1))  # not sent unless it was typed
