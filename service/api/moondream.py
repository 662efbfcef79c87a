"""Moondream's own clients: how they are recognised, what they send that asks for nothing, and what they print.

They know the native routes, which refuse unknown fields; what these clients add of themselves is set aside instead.
A client's mark is its `User-Agent`. Knows no route. Event loop.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Any

from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.types import Scope

from service.errors import UnsupportedParameter
from service.schemas.requests import NAMELESS, SamplingFields

MAX_REASON_CHARS = 200
MARK = "moondream-"  # moondream-python/2.6.1 and its siblings
UNNAMED = "moondream3-preview"  # what their chats call the model when nobody has named one
POINTING = "spatial_refs"  # the one field that would change the answer: it points at a part of the image

_UNPRINTABLE = re.compile(r"[^ -~]")


def is_moondream(scope: Scope) -> bool:
    """Say whether a request comes from one of moondream's clients."""
    return Headers(scope=scope).get("user-agent", "").startswith(MARK)


def reason_phrase(detail: str, retry_after_s: str | None = None) -> bytes:
    """Write why a request failed as words for the status line, which is all that moondream's clients print.

    >>> reason_phrase("1 of 1 places are taken", "3")
    b'1 of 1 places are taken; try again in 3 s'
    """
    again = f"; try again in {retry_after_s} s" if retry_after_s and "try again in" not in detail else ""
    return _UNPRINTABLE.sub("?", detail[:MAX_REASON_CHARS] + again).encode("ascii")


def failure_line(detail: str) -> str:
    """Write why a stream fails as an event that is no JSON.

    Moondream's clients read on after one that says so in JSON, as if the answer were whole, and do not see that a
    connection broke; at one that they cannot read they raise an error.
    """
    return f"error: {reason_phrase(detail).decode()}"


def set_aside(kind: type[BaseModel], fields: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Take the fields that a request of this kind does not know out of it, and name them.

    Raises:
        UnsupportedParameter: one of them would change the answer.

    >>> from service.schemas.requests import VqaRequest
    >>> set_aside(VqaRequest, {"question": "Why?", "reasoning": True, "settings": {"top_p": 1.0, "variant": "a"}})
    ({'question': 'Why?', 'settings': {'top_p': 1.0}}, ['reasoning', 'settings.variant'])
    """
    if fields.get(POINTING):
        raise UnsupportedParameter(f"{POINTING}: would change the answer, and is not offered; leave it out")
    kept, unknown = _split(kind.model_fields, fields)
    if isinstance(kept.get("settings"), dict):
        kept["settings"], more = _split(SamplingFields.model_fields, kept["settings"])
        unknown += [f"settings.{name}" for name in more]
    return kept, unknown


def _split(known: Container[str], fields: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    kept = {name: value for name, value in fields.items() if name in known}
    return kept, [name or NAMELESS for name in fields if name not in kept]
