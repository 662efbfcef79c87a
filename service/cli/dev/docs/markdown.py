"""Markdown as the pages use it: tables, headings and their anchors, code blocks.

Knows no page and nothing of what a page says. Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import dedent

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """One fenced block of code: its language and its text."""

    language: str
    text: str


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""Write a table; a bar inside a cell is escaped.

    >>> print(table(("a", "b"), [("1", "2|3")]))
    | a | b |
    | --- | --- |
    | 1 | 2\|3 |
    """
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def code(text: str) -> str:
    """Mark text as code; nothing stays nothing.

    >>> code("--port"), code("")
    ('`--port`', '')
    """
    return f"`{text}`" if text else ""


def code_list(items: Iterable[str]) -> str:
    """Name several pieces of code, with commas between."""
    return ", ".join(code(item) for item in items)


def first_sentence(text: str) -> str:
    r"""Return the first sentence of a docstring or description, on one line; it does not end inside parentheses.

    >>> first_sentence("One line,\nand on. Another."), first_sentence("One (by A et al. 2016) of two? Another.")
    ('One line, and on.', 'One (by A et al. 2016) of two?')
    """
    sentence = ""
    for piece in re.split(r"(?<=[.!?])\s", " ".join(text.split())):
        sentence = f"{sentence} {piece}".lstrip()
        if sentence.count("(") == sentence.count(")"):
            break
    return sentence


def code_blocks(text: str) -> Iterator[CodeBlock]:
    r"""List every fenced block of a page, in order; those in lists without their indentation.

    >>> [block.text for block in code_blocks("1. Type:\n\n   ```sh\n   ls\n   ```\n")]
    ['ls\n']
    """
    return (CodeBlock(language, dedent(body)) for _, language, body in _FENCE.findall(text))


def without_code(text: str) -> str:
    """Return a page without its fenced blocks, for readers of its prose."""
    return _FENCE.sub("", text)


def anchors(text: str) -> set[str]:
    r"""List the anchors of a page's headings, as GitHub makes them: a heading that is there twice gets a number.

    >>> sorted(anchors("# What is `it`?\n## A\n## A"))
    ['a', 'a-1', 'what-is-it']
    """
    seen, found = Counter[str](), set()
    for line in without_code(text).splitlines():
        if line.startswith("#"):
            slug = re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower()).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return found
