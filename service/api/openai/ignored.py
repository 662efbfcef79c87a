"""Fields of a chat that have no effect here: which they are, and the words in which a response names them.

A client's field that asks for nothing Pheye cannot do is taken, ignored and named in the header `X-Pheye-Ignored`, so
that a new field of some client is not a failure. With `PHEYE_STRICT` it is refused instead. Knows no field by name: a
field's type says whether it is one, and an unknown one always is. Pure; safe from any thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict

from service.errors import InvalidField, UnsupportedParameter
from service.schemas.requests import NAMELESS, SHOWN_CHARS, near_name

HEADER = "X-Pheye-Ignored"
MAX_HEADER_CHARS = 1000
HINT = "Taken and ignored."
IGNORED = "Ignored, and named in `X-Pheye-Ignored`."

_UNUSUAL = re.compile(r"[^\w.\[\]$@:/-]", re.ASCII)


@dataclass(frozen=True, slots=True)
class NoEffect:
    """The mark of a field that is ignored.

    Attributes:
        fulfilled: values that ask for what Pheye does anyway, of which nothing need be said.
        hint: whether it is taken even where everything else without effect is refused.
    """

    fulfilled: tuple[Any, ...] = ()
    hint: bool = False


Hint = Annotated[Any, NoEffect(hint=True)]
Ignored = Annotated[Any, NoEffect()]


class OpenFields(BaseModel):
    """Checked fields of a request in another's protocol: unknown ones are taken, and no message repeats a value."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class IgnoredField:
    """A field that was sent and has no effect; `path` is like `messages[].name`."""

    path: str
    known: bool
    hint: bool


def ignored_fields(fields: OpenFields, at: str = "") -> Iterator[IgnoredField]:
    """Find the fields that were sent and have no effect, in the order in which they were sent."""
    marks = _marks(type(fields))
    for name, value in fields:
        if value is None:
            continue
        if name not in marks:
            yield IgnoredField(f"{at}{name or NAMELESS}", known=False, hint=False)
        elif (mark := marks[name]) is not None:
            if value not in mark.fulfilled:
                yield IgnoredField(f"{at}{name}", known=True, hint=mark.hint)
        elif isinstance(value, OpenFields):
            yield from ignored_fields(value, f"{at}{name}.")
        elif isinstance(value, list):
            for each in value:
                if isinstance(each, OpenFields):
                    yield from ignored_fields(each, f"{at}{name}[].")


@cache
def _marks(kind: type[OpenFields]) -> dict[str, NoEffect | None]:
    return {
        name: next((each for each in info.metadata if isinstance(each, NoEffect)), None)
        for name, info in kind.model_fields.items()
    }


def header_value(paths: Iterable[str]) -> str:
    """Write paths as the header's value: sorted, each once, of plain characters only, and bounded in length.

    >>> header_value(["top_k", "messages[].name", "top_k", "a,b"])
    'a?b,messages[].name,top_k'
    """
    shown = ",".join(sorted({_UNUSUAL.sub("?", path[: 2 * SHOWN_CHARS]) for path in paths}))
    if len(shown) <= MAX_HEADER_CHARS:
        return shown
    return shown[:MAX_HEADER_CHARS].rpartition(",")[0] + ",..."


def refuse_ignored(found: Iterable[IgnoredField], known: Iterable[str]) -> None:
    """Refuse every field that would be ignored, but for hints.

    Args:
        found: the fields of a request that have no effect.
        known: the names that a misspelt one may have meant.

    Raises:
        UnsupportedParameter: one of them is a field of other models.
        InvalidField: one of them is unknown.
    """
    for each in found:
        if each.known and not each.hint:
            raise UnsupportedParameter(f"{each.path[:SHOWN_CHARS]}: Pheye cannot do that; leave it out")
        if not each.known:
            near = near_name(each.path, known)
            hint = f"; did you mean {near}?" if near else ""
            raise InvalidField(f"{each.path[:SHOWN_CHARS]}: unknown field{hint}")
