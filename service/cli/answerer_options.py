"""Who answers a command, an engine here or a service, as options: what can be typed, and what it comes to.

`service.cli.ask_options` and `service.cli.evaluate.commands` share it. Imports neither engine nor HTTP client before
one is wanted. Main thread only.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from service.cli.flags import OFFLINE_NAMES, fail, flag_of, read_settings, settings_flags

if TYPE_CHECKING:
    from service.batch.server import ServiceConnection
    from service.settings import Settings

Command = Callable[..., None]
Flags = Mapping[str, str | None]  # settings of the engine, as they were typed
Options = TypeVar("Options")

MODEL_SETTINGS = ("model", "revision", "name", "devices", "dtype", "threads", "slots", "context_tokens")
IMAGE_SETTINGS = ("feature_cache_bytes", "max_pixels", "preprocess_threads")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswererOptions:
    """Options that say who answers."""

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


def options(*kinds: type[Any], settings: tuple[str, ...]) -> Callable[[Command], Command]:
    """Replace a command's `**words` by the fields of option classes and a flag for each of these settings.

    Args:
        kinds: dataclasses whose fields are annotated with their option; their order is that of the help.
        settings: fields of `Settings`, under the names that commands without a server give them.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        *own, rest = signature.parameters.values()
        shared = [parameter for kind in kinds for parameter in _parameters(kind)]
        command.__signature__ = signature.replace(parameters=[*own, *shared, rest])  # type: ignore[attr-defined]
        return settings_flags(*settings, renamed=OFFLINE_NAMES)(command)

    return decorate


def _parameters(kind: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=hints[each.name])
        for each in fields(kind)
    ]


def take(kind: type[Options], words: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
    """The options of one class out of everything a command was given, and the rest."""
    own = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    given = {name: value for name, value in words.items() if name in own}
    return kind(**given), {name: value for name, value in words.items() if name not in own}


def engine_settings(where: AnswererOptions, flags: Flags) -> Settings:
    """The settings of an engine here; ends the command if an option only makes sense with a service."""
    given = {"--in-flight": where.in_flight, "--retry-for": where.retry_for, "--api-key-file": where.api_key_file}
    refused = [flag for flag, value in given.items() if value is not None]
    if refused:
        fail(f"{', '.join(refused)}: only with --server")
    return read_settings(flags, OFFLINE_NAMES)


def server(where: AnswererOptions, flags: Flags) -> ServiceConnection:
    """The service at `where.server`; ends the command if an option is one for an engine here.

    Settings in the environment are those of a process that computes, and this one does not.

    Raises:
        ServerError, OSError: the address or the key's file cannot be used.
    """
    given = [name for name, value in flags.items() if value is not None]
    if given:
        names = ", ".join(flag_of(name, OFFLINE_NAMES) for name in given)
        fail(f"{names}: not with --server; the service has a model and settings of its own")
    from service.batch.server import ServiceConnection, check_url, read_key

    default = ServiceConnection(check_url(where.server or ""))
    return ServiceConnection(
        default.url,
        read_key(where.api_key_file) if where.api_key_file is not None else None,
        in_flight=where.in_flight if where.in_flight is not None else default.in_flight,
        retry_for_s=where.retry_for if where.retry_for is not None else default.retry_for_s,
    )
