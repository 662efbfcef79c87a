"""The pages of the documentation: their list, their generated blocks, and their faults.

Reads and writes files below the repository's root. Knows where each block comes from, not what it says. Main thread.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import typer

from service.cli.dev.docs import commands, configuration, files, http_api, memory, models, monitoring, reliability
from service.cli.dev.docs.blocks import BlockError, Maker, names, render
from service.cli.dev.docs.links import broken

README_LINES = 200  # the front door stays short; the rest has pages of its own


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it is, and as it should be.

    Attributes:
        name: its path below the root.
        old: its text.
        new: its text with every generated block made anew.
    """

    name: str
    old: str
    new: str

    @property
    def difference(self) -> str:
        """The stale lines, as a unified diff; empty if there are none."""
        lines = difflib.unified_diff(
            self.old.splitlines(), self.new.splitlines(), self.name, f"{self.name}, generated", lineterm=""
        )
        return "\n".join(lines)


def makers(app: typer.Typer, root: Path) -> Mapping[str, Maker]:
    """Map the name of each generated block to what makes it."""
    return {
        "settings": configuration.settings,
        "commands": lambda _: commands.reference(app),
        "routes": http_api.routes,
        "fields": http_api.fields,
        "sampling": http_api.sampling,
        "errors": http_api.errors,
        "memory": memory.memory,
        "models": models.models,
        "metrics": monitoring.metrics,
        "alerts": lambda _: monitoring.alerts(root),
        "recorded": lambda _: monitoring.recorded(root),
        "chaos": lambda _: reliability.chaos(root),
        "dashboard": lambda _: monitoring.dashboard(root),
        "files": lambda _: files.index(root),
    }


def read_pages(root: Path) -> dict[str, str]:
    """Read every page by its path below `root`: those of the root, and all of `docs/`.

    Raises:
        OSError: one cannot be read, or `root` is not the repository.
    """
    if not (root / "README.md").is_file():
        raise FileNotFoundError(f"{root / 'README.md'}: there is no such file; run it in the repository")
    found = [*sorted(root.glob("*.md")), *sorted((root / "docs").rglob("*.md"))]
    return {file.relative_to(root).as_posix(): file.read_text(encoding="utf-8") for file in found}


def render_pages(texts: Mapping[str, str], known: Mapping[str, Maker]) -> list[Page]:
    """Render every page with its generated blocks made anew.

    Raises:
        BlockError: a marker is wrong, or a block is on no page; the message names page and marker.
    """
    pages = []
    for name, text in texts.items():
        try:
            pages.append(Page(name, text, render(text, known)))
        except BlockError as error:
            raise BlockError(f"{name}: {error}") from None
    if absent := set(known) - {block for text in texts.values() for block in names(text)}:
        raise BlockError(f"on no page: {', '.join(sorted(absent))}")
    return pages


def faults(root: Path, pages: list[Page]) -> Iterator[str]:
    """List what is wrong with the pages and must be mended by hand, a line each."""
    yield from broken(root, {page.name: page.new for page in pages})
    for page in pages:
        if page.name == "README.md" and (lines := len(page.new.splitlines())) > README_LINES:
            yield f"README.md: {lines} lines; at most {README_LINES}"
