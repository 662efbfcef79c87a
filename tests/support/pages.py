"""The documentation's pages and the code in them, for the tests that try it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.cli.dev.docs.markdown import code_blocks
from service.cli.dev.docs.pages import read_pages

ROOT = Path(__file__).parents[2]
PAGES = read_pages(ROOT)


@dataclass(frozen=True)
class Example:
    """A piece of code as a page shows it; `text` is what a reader pastes."""

    page: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.text.split())[:70]}"


def blocks(language: str) -> Iterator[Example]:
    """Every block of code in this language."""
    for page, text in PAGES.items():
        yield from (Example(page, block.text) for block in code_blocks(text) if block.language == language)


def shell_commands() -> Iterator[Example]:
    """Every command in a block of `sh`, without its comment; those sent to the background one by one."""
    for block in blocks("sh"):
        for line in block.text.replace("\\\n", " ").splitlines():
            for command in re.split(r"\s+#\s|$", line)[0].split(" &"):
                if command.strip() and not command.startswith("#"):
                    yield Example(block.page, command.strip())
