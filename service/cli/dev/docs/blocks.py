"""Generated blocks of a page: text between two markers that is made from the code.

A block begins with `generated: NAME WORD ...` in an HTML comment and ends with the next `end` comment. Owns the
markers; knows neither the pages nor what a block holds. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

Maker = Callable[[Sequence[str]], str]  # from a marker's words to the block's text
END = "<!-- end -->"
_MARKER = re.compile(r"<!-- generated: (.*?) -->")


class BlockError(ValueError):
    """A marker is unknown, has no end, or its words make no sense; the message names it."""


def names(text: str) -> set[str]:
    """List the names of a page's blocks."""
    return {words.split()[0] for words in _MARKER.findall(text)}


def render(text: str, makers: Mapping[str, Maker]) -> str:
    """Make every generated block of a page anew.

    Args:
        text: the page.
        makers: by a block's name, what makes it.

    Raises:
        BlockError: a marker is unknown, has no end, or its words make no sense.
    """
    prose, *rest = _MARKER.split(text)
    made = [prose]
    for words, piece in zip(rest[::2], rest[1::2], strict=True):
        name, *parameters = words.split()
        marker = f"<!-- generated: {words} -->"
        if name not in makers:
            raise BlockError(f"{marker}: there is no such block; known are {', '.join(makers)}")
        _, end, after = piece.partition(END)
        if not end:
            raise BlockError(f"{marker}: it is not followed by its {END}")
        try:
            block = makers[name](parameters)
        except ValueError as error:
            raise BlockError(f"{marker}: {error}") from None
        made.append(f"{marker}\n{block}\n{END}{after}")
    return "".join(made)
