"""Command-line options as dataclasses: a command declares a class and gets its values back as an object.

The one place where a class becomes what can be typed. Knows no option and no command. Used while commands are declared
and started.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar, get_type_hints

Command = Callable[..., None]
Options = TypeVar("Options")


def options(*kinds: type[Any]) -> Callable[[Command], Command]:
    """Replace a command's `**words` by the fields of option classes.

    Args:
        kinds: dataclasses whose fields are annotated with their option; their order is that of the help. A field
            without a default must be typed.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Size:
    ...     width: int
    ...     height: int = 1
    >>> @options(Size)
    ... def draw(colour: str, **words: int) -> None: ...
    >>> str(inspect.signature(draw))
    '(colour: str, *, width: int, height: int = 1) -> None'
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        shared = [parameter for kind in kinds for parameter in _parameters(kind)]
        command.__signature__ = signature.replace(parameters=[*own, *shared])  # type: ignore[attr-defined]
        return command

    return decorate


def _parameters(kind: type[Any]) -> Iterator[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    for each in fields(kind):
        default = inspect.Parameter.empty if each.default is MISSING else each.default
        yield inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[each.name])


def take(kind: type[Options], words: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
    """Split a command's values into the options of one class and the rest."""
    own = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    given = {name: value for name, value in words.items() if name in own}
    return kind(**given), {name: value for name, value in words.items() if name not in own}
