"""JSON text from clients, read strictly and within bounds.

Knows no request. Any thread.
"""

from __future__ import annotations

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE
from typing import Any

from pydantic_core import from_json

from service.errors import BadRequest

MAX_JSON_VALUES = 10_000  # a long conversation has some hundreds, and its commas count as well
GZIP = b"\x1f\x8b"


def json_object(text: bytes | str, where: str) -> dict[str, Any]:
    """Parse a JSON object; `where` names the text in errors.

    Raises:
        BadRequest: it is none, or has too many values.
    """
    text = _utf8(text, where)
    _check_values(text, where)
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise BadRequest(f"{where}: not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadRequest(f"{where}: expected a JSON object")
    return value


def _utf8(text: bytes | str, where: str) -> bytes | str:
    """Return JSON without a byte order mark in front, and refuse what is plainly in another encoding than UTF-8."""
    if isinstance(text, str):
        return text.removeprefix("\ufeff")
    if text.startswith(BOM_UTF8):
        return text[len(BOM_UTF8) :]
    # Every JSON text begins with an ASCII character, which UTF-16 and UTF-32 write with zeros beside it.
    if text.startswith((BOM_UTF16_LE, BOM_UTF16_BE, BOM_UTF32_BE)) or b"\x00" in text[:2]:
        raise BadRequest(f"{where}: the JSON is in UTF-16 or UTF-32; send it in UTF-8")
    if text.startswith(GZIP):
        raise BadRequest(f"{where}: this is gzip; send the JSON as it is, without compression")
    return text


def _check_values(text: bytes | str, where: str) -> None:
    """Refuse more values than any request needs: each that is wrong would be described, on the event loop."""
    marks: tuple[Any, ...] = (b",", b"[", b"{") if isinstance(text, bytes) else (",", "[", "{")
    if sum(text.count(mark) for mark in marks) > MAX_JSON_VALUES:
        raise BadRequest(f"{where}: more than the {MAX_JSON_VALUES} values that are read")
