"""One command-line flag for each setting, made from `Settings` itself, so that neither can be forgotten.

Values go to `Settings` as text and are checked there, once, in the same words whether they come from a flag or from
the environment. Used while commands are declared and started.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, NoReturn

import typer

from service.settings import PREFIX, SettingRow, Settings, SettingsError, load_settings, setting_rows

Command = Callable[..., None]
EXIT_USAGE = 2  # the command cannot be run as typed


@dataclass(frozen=True, slots=True)
class Renamed:
    """What a setting is called where a command gives it a narrower meaning."""

    flag: str
    description: str


_AS_THEY_ARE: Mapping[str, Renamed] = {}
OFFLINE_NAMES: Mapping[str, Renamed] = {
    "devices": Renamed("--device", "Device to compute on: cpu, cuda:0, ...; auto is the first GPU or else the CPU."),
    "default_max_tokens": Renamed("--max-tokens", "Most tokens of an answer, 1 to 2048."),
}


def fail(message: str) -> NoReturn:
    """Say what is wrong and end with exit code 2."""
    typer.echo(f"pheye: {message}", err=True)
    raise typer.Exit(EXIT_USAGE)


def settings_flags(*names: str, renamed: Mapping[str, Renamed] = _AS_THEY_ARE) -> Callable[[Command], Command]:
    """Replace a command's `**flags` by one flag for each of these settings.

    Args:
        names: fields of `Settings`; none means all of them.
        renamed: field -> what the command calls it, where that is something else.

    >>> @settings_flags("port")
    ... def command(**flags: str | None) -> None: ...
    >>> list(inspect.signature(command).parameters)
    ['port']
    """
    rows = {_field(row): row for row in setting_rows()}

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        flags = [_parameter(_named(rows[name], renamed)) for name in names or rows]
        command.__signature__ = signature.replace(parameters=[*own, *flags])  # type: ignore[attr-defined]
        return command

    return decorate


def _field(row: SettingRow) -> str:
    return row.variable.removeprefix(PREFIX).lower()


def _named(row: SettingRow, renamed: Mapping[str, Renamed]) -> SettingRow:
    other = renamed.get(_field(row))
    return replace(row, flag=other.flag, description=other.description) if other else row


def _parameter(row: SettingRow) -> inspect.Parameter:
    default = f"; default {row.default}" if row.default else ""
    option = typer.Option(
        row.flag,
        help=f"{row.description} [{row.variable}{default}]".replace("`", ""),
        metavar=_metavar(_field(row)),
        show_default=False,
    )
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(_field(row), kind, default=None, annotation=Annotated[str | None, option])


def flag_of(field: str, renamed: Mapping[str, Renamed] = _AS_THEY_ARE) -> str:
    """How a setting is typed.

    >>> flag_of("max_pixels"), flag_of("devices", OFFLINE_NAMES)
    ('--max-pixels', '--device')
    """
    return renamed[field].flag if field in renamed else "--" + field.replace("_", "-")


def _metavar(field: str) -> str:
    if field.endswith("_s"):
        return "SECONDS"
    return "N" if Settings.model_fields[field].annotation is int else "TEXT"


def read_settings(flags: Mapping[str, str | None], renamed: Mapping[str, Renamed] = _AS_THEY_ARE) -> Settings:
    """Settings from the environment with the given flags on top; what is wrong ends the command with exit code 2."""
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return load_settings(**given)
    except SettingsError as error:
        fail("\n       ".join(_in_words(line, given, renamed) for line in str(error).splitlines()))


def _in_words(line: str, given: Mapping[str, str], renamed: Mapping[str, Renamed]) -> str:
    """A complaint by the name that was typed, and what would be accepted."""
    for row in (_named(row, renamed) for row in setting_rows()):
        if line.startswith(row.variable + ":"):
            typed = f"{row.flag} (or {row.variable})" if _field(row) in given else row.variable
            return f"{typed}{line.removeprefix(row.variable)}\n         {row.description}".replace("`", "")
    return line
