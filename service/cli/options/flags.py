"""Command-line flags for the settings, made from `Settings` itself, so that none can be forgotten.

Values go to `Settings` as text and are checked there, once, in the same words whether they come from a flag or from
the environment. Used while commands are declared and started.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, make_dataclass, replace
from typing import Annotated, Any, NoReturn

import typer

from service.configuration.plain_words import without_passwords
from service.configuration.rows import SettingRow, setting_rows
from service.configuration.settings import (
    PREFIX,
    RENAMED_SETTINGS,
    Settings,
    SettingsError,
    load_settings,
    old_variables,
)

EXIT_USAGE = 2  # the command cannot be run as typed
EXIT_DISK = 1  # a disk is full or read-only
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


@dataclass(frozen=True, slots=True)
class Renamed:
    """A setting's name in a command that gives it a narrower meaning."""

    flag: str
    description: str


_AS_THEY_ARE: Mapping[str, Renamed] = {}
OFFLINE_NAMES: Mapping[str, Renamed] = {
    "devices": Renamed("--device", "Device to compute on: cpu, cuda:0, ...; auto is the first GPU or else the CPU."),
    "default_max_tokens": Renamed("--max-tokens", "Most tokens of an answer, 1 to 2048."),
}


def tell(line: str) -> None:
    """Print a line about the work to standard error, where it mixes with no result."""
    typer.echo(f"pheye: {line}", err=True)


def fail(message: str) -> NoReturn:
    """Print what is wrong and end with exit code 2."""
    typer.echo(f"pheye: {without_passwords(message)}", err=True)
    raise typer.Exit(EXIT_USAGE)


def fail_for(error: Exception, words: str = "") -> NoReturn:
    """Print what went wrong; exit code 1 if a disk is full or read-only, 2 if what was typed cannot be used.

    Raises:
        BrokenPipeError: that is what went wrong: whoever read the output, like `head`, has seen enough, and the command
            ends quietly.
    """
    if isinstance(error, BrokenPipeError):
        raise error
    typer.echo(f"pheye: {without_passwords(words or str(error))}", err=True)
    raise typer.Exit(EXIT_DISK if is_disk_error(error) else EXIT_USAGE)


def is_disk_error(error: Exception) -> bool:
    """Say whether a disk is at fault, which is full or read-only, and not what was typed."""
    return isinstance(error, OSError) and error.errno in _DISK


def setting_flags(*names: str, renamed: Mapping[str, Renamed] = _AS_THEY_ARE) -> type[Any]:
    """Make an option class, for `service.cli.options.dataclass_options`, with a flag for each of these settings.

    A value is text, None if it was not typed. A setting that was renamed has a flag under its old name too, which help
    does not show.

    Args:
        names: fields of `Settings`; none means all of them.
        renamed: field -> what the command calls it, where that is something else.

    >>> list(setting_flags("port", "host").__dataclass_fields__)
    ['port', 'host']
    """
    rows = {_field(row): row for row in setting_rows()}
    made = []
    for name in names or rows:
        if not rows[name].flag:
            made.append((name, _refused_option(name), None))
            continue
        made.append((name, _option(_named(rows[name], renamed)), None))
        made += [(old, _old_option(old), None) for old, now in RENAMED_SETTINGS.items() if now == name]
    return make_dataclass("SettingFlags", made, frozen=True, kw_only=True)


def _field(row: SettingRow) -> str:
    return row.variable.removeprefix(PREFIX).lower()


def _named(row: SettingRow, renamed: Mapping[str, Renamed]) -> SettingRow:
    other = renamed.get(_field(row))
    return replace(row, flag=other.flag, description=other.description) if other else row


def _option(row: SettingRow) -> Any:
    default = f"; default {row.default}" if row.default else ""
    option = typer.Option(
        row.flag,
        help=f"{row.description} [{row.variable}{default}]".replace("`", ""),
        metavar=_metavar(_field(row)),
        show_default=False,
    )
    return Annotated[str | None, option]


def _old_option(old: str) -> Any:
    return Annotated[str | None, typer.Option(flag_of(old), hidden=True)]


def _refused_option(field: str) -> Any:
    """Make the option of a setting that has no flag: it ends the command in words, and does not repeat its value."""

    def refuse(value: str | None) -> None:
        if value is not None:
            fail(
                f"{flag_of(field)}: a command line can be read by every user of this machine (ps), and this one stays "
                f"in the shell's history; consider its keys known. Set {PREFIX}{field.upper()}, or name a file with "
                "--keys-file; pheye keys new NAME makes an entry for it"
            )

    return Annotated[str | None, typer.Option(flag_of(field), hidden=True, callback=refuse)]


def flag_of(field: str, renamed: Mapping[str, Renamed] = _AS_THEY_ARE) -> str:
    """Return the flag of a setting, as it is typed.

    >>> flag_of("max_pixels"), flag_of("devices", OFFLINE_NAMES)
    ('--max-pixels', '--device')
    """
    return renamed[field].flag if field in renamed else "--" + field.replace("_", "-")


def _metavar(field: str) -> str:
    if field.endswith("_s"):
        return "SECONDS"
    return "N" if Settings.model_fields[field].annotation is int else "TEXT"


def current_names(flags: Mapping[str, str | None]) -> dict[str, str | None]:
    """Rename flags that were typed under an old name, with a warning; a flag's new name wins if both were typed."""
    now = {name: value for name, value in flags.items() if name not in RENAMED_SETTINGS}
    for old, new in RENAMED_SETTINGS.items():
        if flags.get(old) is not None:
            _warn(flag_of(old), flag_of(new))
            now[new] = flags[old] if now.get(new) is None else now[new]
    return now


def _warn(old: str, new: str) -> None:
    typer.echo(f"pheye: {old} is now {new}; the next version will not know it", err=True)


def read_settings(flags: Mapping[str, str | None], renamed: Mapping[str, Renamed] = _AS_THEY_ARE) -> Settings:
    """Read settings from the environment, with the given flags on top; a mistake ends the command with exit code 2."""
    given = {name: value for name, value in current_names(flags).items() if value is not None}
    for old, new in old_variables().items():
        _warn(old, new)
    try:
        return load_settings(**given)
    except SettingsError as error:
        fail("\n       ".join(_in_words(line, given, renamed) for line in str(error).splitlines()))


def _in_words(line: str, given: Mapping[str, str], renamed: Mapping[str, Renamed]) -> str:
    """Explain a mistake by the name that was typed, and say what would be accepted."""
    for row in (_named(row, renamed) for row in setting_rows()):
        if line.startswith(row.variable + ":"):
            typed = f"{row.flag} (or {row.variable})" if _field(row) in given else row.variable
            return f"{typed}{line.removeprefix(row.variable)}\n         {row.description}".replace("`", "")
    return line
