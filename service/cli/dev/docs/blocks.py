"""The generated parts of README.md: tables made from the code, so that they cannot be wrong for long.

Owns the markers and the tables' layout, not the text between them. Used by `pheye docs` only.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import typer
from typer.main import get_command

from service.metrics import metric_rows
from service.settings import setting_rows

END = "<!-- end -->"
_MARKER = re.compile(r"<!-- generated: (.*?) -->")


class MarkerError(ValueError):
    """A marker is missing, repeated or unknown; the message names it."""


@dataclass(frozen=True, slots=True)
class CommandRow:
    """One line of the README's table of commands."""

    usage: str
    summary: str
    options: str


def command_rows(app: typer.Typer) -> Iterator[CommandRow]:
    """Every command of the console script, in the order it declares them; groups of commands last, a row each."""
    settings = {row.flag for row in setting_rows()}
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        summary = (command.help or "").partition("\n")[0]
        if parts := getattr(command, "commands", None):  # a group; each of its commands has its own --help
            yield CommandRow(f"pheye {name} COMMAND", summary, ", ".join(f"`{part}`" for part in parts))
            continue
        words = [p.metavar or p.name.upper() for p in command.params if p.param_type_name == "argument"]
        flags = [p.opts[0] for p in command.params if p.param_type_name == "option" and p.name != "help"]
        options = "one for each setting" if settings <= set(flags) else ", ".join(f"`{flag}`" for flag in flags)
        yield CommandRow(" ".join(["pheye", name, *words]), summary, options)


def render(text: str, commands: Iterable[CommandRow]) -> str:
    """The README with every generated part made anew.

    Args:
        text: the README.
        commands: the rows of the table of commands.

    Raises:
        MarkerError: a part has no marker or several, or a marker has no part or no end.
    """
    parts = {"settings": _settings(), "metrics": _metrics(), "commands": _commands(commands)}
    _check_markers(text, parts)
    for name, table in parts.items():
        start = _start(name)
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(END)
        text = f"{before}{start}\n{table}\n{END}{after}"
    return text


def _check_markers(text: str, parts: Mapping[str, str]) -> None:
    found = _MARKER.findall(text)
    for name in found:
        if name not in parts:
            raise MarkerError(f"{_start(name)}: there is no such part; known are {', '.join(parts)}")
    for name in parts:
        if found.count(name) != 1:
            raise MarkerError(f"{_start(name)}: expected once, found {found.count(name)} times")
    for piece, name in zip(_MARKER.split(text)[2::2], found, strict=True):
        if END not in piece:
            raise MarkerError(f"{_start(name)}: it is not followed by its {END}")


def _start(name: str) -> str:
    return f"<!-- generated: {name} -->"


def difference(old: str, new: str) -> str:
    """What would change, as a unified diff; empty if nothing would."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), "README.md", "generated", lineterm="")
    return "\n".join(lines)


def _settings() -> str:
    rows = [
        (f"`{row.variable}`", f"`{row.flag}`", f"`{row.default}`" if row.default else "", row.description)
        for row in setting_rows()
    ]
    return _table(("Variable", "Flag", "Default", "Meaning"), rows)


def _metrics() -> str:
    rows = [
        (f"`{row.name}`", row.type, ", ".join(f"`{label}`" for label in row.labels), row.help) for row in metric_rows()
    ]
    return _table(("Metric", "Type", "Labels", "Meaning"), rows)


def _commands(commands: Iterable[CommandRow]) -> str:
    return _table(("Command", "What it does", "Options"), [(f"`{c.usage}`", c.summary, c.options) for c in commands])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
