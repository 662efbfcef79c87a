"""The command reference: a section for every command, from the same declarations as its `--help`.

Knows how commands are declared and nothing of what they do. Options that several commands have are told once, at the
end. Pure.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from typer.models import ArgumentInfo, DefaultPlaceholder, ParameterInfo

from service.cli.dev.docs.markdown import code, code_list, table
from service.configuration.rows import setting_rows

SHARED_BY = 3  # commands that have the very same option
_VALUES = {int: "N", float: "X", str: "TEXT", Path: "PATH", bool: ""}


@dataclass(frozen=True, slots=True)
class Option:
    """An option or an argument, as the reference shows it.

    Attributes:
        name: as it is typed, without its value.
        value: a word for its value; empty for a flag, and for an argument, whose name says it.
        meaning: the help text, bounds and default.
    """

    name: str
    value: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command or a group of commands, as the reference shows it.

    Attributes:
        name: with the names of its groups, like `pheye evaluate vqav2`.
        help: the docstring.
        arguments: in their order.
        options: in their order.
        is_group: whether it has commands of its own.
    """

    name: str
    help: str
    arguments: tuple[Option, ...]
    options: tuple[Option, ...]
    is_group: bool = False

    @property
    def usage(self) -> str:
        """The line that shows how the command is typed."""
        words = [self.name, *(["[OPTIONS]"] if self.options else []), *(each.name for each in self.arguments)]
        return " ".join([*words, *(["COMMAND"] if self.is_group else [])])


def reference(app: typer.Typer) -> str:
    """Write a table of all commands, a section for each, and the options that they share."""
    root, *found = commands(app, "pheye")
    found = [root, *found] if root.options else found
    shared = _shared(found)
    overview = table(
        ("Command", "What it does"),
        [(f"[{code(each.name)}](#{each.name.replace(' ', '-')})", _first_line(each.help)) for each in found],
    )
    last = f"## Shared options\n\n{_options(shared)}"
    return "\n\n".join([overview, *(_section(command, shared) for command in found), last])


def _shared(found: Sequence[Command]) -> list[Option]:
    """List the options that several commands have; of two with one name the more frequent."""
    counts = Counter(option for command in found for option in command.options)
    by_name = {option.name: option for option, count in reversed(counts.most_common()) if count >= SHARED_BY}
    return [by_name[name] for name in sorted(by_name)]


def commands(app: typer.Typer, name: str) -> Iterator[Command]:
    """List every command of an application in the order of its declaration, a group before its commands."""
    callback = app.registered_callback.callback if app.registered_callback else None
    yield _command(name, _plain(app.info.help) or inspect.getdoc(callback) or "", callback, is_group=True)
    yield from _inner(app, name)


def _inner(app: typer.Typer, name: str) -> Iterator[Command]:
    for declared in app.registered_commands:
        if declared.callback and not declared.hidden:
            word = declared.name or declared.callback.__name__.replace("_", "-")
            about = declared.help or inspect.getdoc(declared.callback) or ""
            yield _command(f"{name} {word}", about, declared.callback)
    for group in app.registered_groups:
        inner = group.typer_instance
        if inner is None or _plain(group.hidden):
            continue
        if word := _plain(group.name) or _plain(inner.info.name):
            yield from commands(inner, f"{name} {word}")
        else:
            yield from _inner(inner, name)  # a group without a name only brings its commands


def _plain(value: Any) -> Any:
    """Unwrap a value of typer's declarations, which wraps those that were not given."""
    return value.value if isinstance(value, DefaultPlaceholder) else value


def _command(name: str, about: str, callback: Callable[..., Any] | None, *, is_group: bool = False) -> Command:
    declared = list(_parameters(callback)) if callback else []
    return Command(
        name,
        about.strip(),
        tuple(option for option, is_argument in declared if is_argument),
        tuple(option for option, is_argument in declared if not is_argument),
        is_group,
    )


def _parameters(callback: Callable[..., Any]) -> Iterator[tuple[Option, bool]]:
    """List what can be typed after a command, and whether it is an argument."""
    for parameter in inspect.signature(callback, eval_str=True).parameters.values():
        if get_origin(parameter.annotation) is not Annotated:
            continue  # the context, which nobody types
        kind, info = get_args(parameter.annotation)[:2]
        if info.hidden:
            continue
        is_argument = isinstance(info, ArgumentInfo)
        meaning = " ".join([info.help or "", *_bounds(info), *_default(parameter)]).strip().replace("<", "&lt;")
        if is_argument:
            yield Option(_argument_name(parameter, kind, info), "", meaning), True
        else:
            yield Option(_option_name(parameter, kind, info), info.metavar or _value(kind), meaning), False


def _argument_name(parameter: inspect.Parameter, kind: Any, info: ParameterInfo) -> str:
    name = info.metavar or parameter.name.upper()
    name = f"{name}..." if get_origin(_given(kind)) is list else name
    return name if parameter.default is inspect.Parameter.empty else f"[{name}]"


def _option_name(parameter: inspect.Parameter, kind: Any, info: ParameterInfo) -> str:
    typed = "--" + parameter.name.replace("_", "-")
    unnamed = f"{typed}/--no-{typed.removeprefix('--')}" if kind is bool else typed
    declared = [info.default, *(info.param_decls or ())]  # inside Annotated the first name stands where a default would
    return ", ".join(word for word in declared if isinstance(word, str) and word.startswith("-")) or unnamed


def _given(kind: Any) -> Any:
    """Return a type without its None."""
    inner = [each for each in get_args(kind) if each is not type(None)]
    return inner[0] if len(inner) == 1 and get_origin(kind) is not list else kind


def _value(kind: Any) -> str:
    """Choose a word for a value of this type."""
    given = _given(kind)
    if get_origin(given) is list:
        return _value(get_args(given)[0])
    if get_origin(given) is Literal:
        return "|".join(get_args(given))
    return _VALUES.get(given, "TEXT")


def _bounds(info: ParameterInfo) -> Iterator[str]:
    if info.min is not None:
        yield f"At least {info.min}." if info.max is None else f"{info.min} to {info.max}."


def _default(parameter: inspect.Parameter) -> Iterator[str]:
    if parameter.default is inspect.Parameter.empty:
        yield "Required."
    elif parameter.default is not None and parameter.default is not False and parameter.default != "":
        yield f"Default: {code(str(parameter.default))}."


def _section(command: Command, shared: Sequence[Option]) -> str:
    parts = [f"## {command.name}", command.help, f"```text\n{command.usage}\n```"]
    if {row.flag for row in setting_rows() if row.flag} <= {option.name for option in command.options}:
        parts.append("Its options are the [settings](configuration.md), a flag for each.")
    else:
        own = [option for option in command.options if option not in shared]
        parts.append(_options([*command.arguments, *own]))
        if others := [option.name for option in command.options if option in shared]:
            parts.append(f"[Shared options](#shared-options): {code_list(others)}.")
    return "\n\n".join(part for part in parts if part)


def _options(options: Sequence[Option]) -> str:
    rows = [(code(f"{option.name} {option.value}".strip()), option.meaning) for option in options]
    return table(("Argument or option", "Meaning"), rows) if rows else ""


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
