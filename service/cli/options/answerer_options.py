"""Options that choose who answers a command, an engine here or a service.

`service.cli.options.ask_options` and `service.cli.evaluate.commands` share it. Imports neither engine nor HTTP client
before one is wanted. Main thread only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.options.flags import OFFLINE_NAMES, fail, flag_of, read_settings
from service.cli.options.model_names import check_model
from service.cli.options.shared_options import API_KEY_FILE

if TYPE_CHECKING:
    from service.batch.answerers.server import ServiceConnection
    from service.configuration.settings import Settings

Flags = Mapping[str, str | None]  # settings of the engine, as they were typed

MODEL_SETTINGS = ("model", "revision", "name", "devices", "dtype", "threads", "slots", "context_tokens")
IMAGE_SETTINGS = ("feature_cache_bytes", "max_pixels", "decoders", "exact_decoding")


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
    api_key_file: API_KEY_FILE = None


def engine_settings(where: AnswererOptions, flags: Flags) -> Settings:
    """Read the settings of an engine here; ends the command if an option only makes sense with a service."""
    given = {"--in-flight": where.in_flight, "--retry-for": where.retry_for, "--api-key-file": where.api_key_file}
    refused = [flag for flag, value in given.items() if value is not None]
    if refused:
        fail(f"{', '.join(refused)}: only with --server")
    settings = read_settings(flags, OFFLINE_NAMES)
    check_model(settings.model, settings.revision)
    return settings


def server(where: AnswererOptions, flags: Flags) -> ServiceConnection:
    """Describe the service at `where.server`; ends the command if an option is one for an engine here.

    Settings in the environment are those of a process that computes, and this one does not.

    Raises:
        ServiceConnectionError, OSError: the address or the key's file cannot be used.
    """
    given = [name for name, value in flags.items() if value is not None]
    if given:
        names = ", ".join(flag_of(name, OFFLINE_NAMES) for name in given)
        fail(f"{names}: not with --server; the service has a model and settings of its own")
    from service.batch.answerers.server import ServiceConnection, check_url, read_key

    default = ServiceConnection(check_url(where.server or ""))
    return ServiceConnection(
        default.url,
        read_key(where.api_key_file) if where.api_key_file is not None else None,
        in_flight=where.in_flight if where.in_flight is not None else default.in_flight,
        retry_for_s=where.retry_for if where.retry_for is not None else default.retry_for_s,
    )
