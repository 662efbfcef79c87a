"""Tables in Markdown whose columns line up in a terminal, too. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Write a titled table; nothing if it has no rows.

    >>> table("T", ["a", "b"], [["1", "22"]])[2]
    '| a | b  |'
    """
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    head, *body = (
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"
        for cells in (columns, *rows)
    )
    return [f"\n## {title}", "", head, "|" + "|".join("-" * (width + 2) for width in widths) + "|", *body]
