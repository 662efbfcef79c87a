"""Plain words for values that do not fit their type or bounds, instead of pydantic's.

Owns the sentence behind the name of a setting or field, such as "must be at most 2", wherever one is refused, which
repeats no value; and how a value is shown that somebody else made. Pure; safe from any thread.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import ErrorDetails

# By the type of error, as pydantic documents them; in braces what it puts into the context: bounds and never values.
_WORDS: Mapping[str, str] = {
    "missing": "is missing",
    "none_required": "must be null",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "finite_number": "must be a finite number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "has too many digits",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "string_unicode": "must be text",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "literal_error": "must be {expected}",
    "union_tag_invalid": "is of no known kind; known are {expected_tags}",
    "union_tag_not_found": "is of no known kind",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be an object with named fields",
    "model_type": "must be an object with named fields",
    "model_attributes_type": "must be an object with named fields",
}
SHOWN_CHARS, DETAIL_CHARS = 200, 2000  # of a value, and of the reason of a refusal
# Behind a scheme whatever ends in an @, and without one a name, a colon and a password.
_PASSWORD = re.compile(r"(:/{1,2})[^\s'\"]*@|(?<![\w/.-])[^\s'\"/@:]+:[^\s'\"/@]+@(?=\w)")
_EMPTY = ("string_too_short", "too_short")


def plain_words(problem: ErrorDetails | Mapping[str, Any]) -> str:
    """Say what is wrong with a value, without its name; a check of our own has its words already.

    Args:
        problem: an entry of `ValidationError.errors()`, its context included.

    >>> plain_words({"type": "less_than_equal", "msg": "Input should be ...", "ctx": {"le": 2.0}})
    'must be at most 2'
    """
    kind, bounds = problem["type"], {name: _shown(bound) for name, bound in problem.get("ctx", {}).items()}
    if kind in _EMPTY and bounds.get("min_length") == "1":
        return "must not be empty"
    words = _WORDS.get(kind)
    return str(problem["msg"]).removeprefix("Value error, ") if words is None else words.format_map(bounds)


def plain_value(value: object, most: int = SHOWN_CHARS) -> str:
    r"""Write a value of unknown origin in one line: control characters as escapes, cut at so many characters.

    >>> plain_value("a\n\x1b[2J"), len(plain_value("x" * 100_000))
    ('a\\n\\x1b[2J', 200)
    """
    plain = "".join(each if each.isprintable() else repr(each)[1:-1] for each in str(value)[: most + 1])
    return plain if len(plain) <= most else plain[: most - 3] + "..."


def without_passwords(text: str) -> str:
    """Hide the user and the password of every address in a text; of a path that was one, a slash is left.

    >>> without_passwords("https://me:secret@host/x, 'me:secret@host' and ftp:/me:secret@host; a@b.png")
    "https://***@host/x, '***@host' and ftp:/***@host; a@b.png"
    """
    return _PASSWORD.sub(r"\1***@", text)


def _shown(bound: object) -> str:
    return str(int(bound)) if isinstance(bound, float) and bound.is_integer() else str(bound)
