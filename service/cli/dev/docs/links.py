"""Checks of the pages' links and paths: each must lead to something.

Addresses of the web are not asked. Reads files below the repository's root, changes none. Main thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from posixpath import normpath

from service.cli.dev.docs.markdown import anchors, without_code

_LINK = re.compile(r"\]\(([^()\s]+)\)")
_PATH = re.compile(r"`((?:service|model|loadtest|tests|docs|docker|deploy)/[\w./-]*)`")
HISTORY = "CHANGELOG.md"  # may name files that are gone


def broken(root: Path, pages: Mapping[str, str]) -> Iterator[str]:
    """List each link that leads nowhere, each path of a missing file, each page that nothing links to.

    Args:
        root: the repository.
        pages: by its path below `root`, the text of each page.
    """
    linked = set()
    for name, text in pages.items():
        folder = Path(name).parent.as_posix()
        for target in _LINK.findall(without_code(text)):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = normpath(f"{folder}/{path}") if path else name
            linked.add(file)
            if not (root / file).exists():
                yield f"{name}: {target}: there is no such file"
            elif anchor and anchor not in anchors(pages.get(file, "")):
                yield f"{name}: {target}: there is no such heading"
        if name != HISTORY:
            yield from (f"{name}: {path}: there is no such file" for path in _missing(root, text))
    yield from (f"{name}: no page links to it" for name in pages if name.startswith("docs/") and name not in linked)


def _missing(root: Path, text: str) -> Iterator[str]:
    for path in _PATH.findall(without_code(text)):
        if not (root / path).exists():
            yield path
