"""Report of `pheye dev bench --peers`: a table on the terminal; JSON and Markdown in a folder.

Owns the files' names and the terminal's look; `model/bench/peers/` owns the cells and the words. Main thread only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from model.whole_files import write_whole
from service.bench.report import WIDTH

if TYPE_CHECKING:
    from model.bench.peers.result import PeerReport

PEERS_JSON, PEERS_MARKDOWN = "peers.json", "peers.md"


def print_peers(report: PeerReport) -> None:
    """Print the table, and lines for what it does not say."""
    from model.bench.peers import result

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    for line in result.peer_heading(report):
        console.print(line, markup=False, soft_wrap=True)
    shown = Table(*result.HEAD)
    for each in report.results:
        shown.add_row(*result.peer_cells(each))
    console.print(shown)
    for line in [result.NOTE, *result.peer_notes(report)]:
        console.print(line, markup=False, soft_wrap=True)


def write_peers(report: PeerReport, folder: Path) -> None:
    """Write both files; what an unfinished run had written before is replaced.

    Raises:
        OSError: the folder cannot be written.
    """
    from model.bench.peers.result import peer_markdown

    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / PEERS_JSON, json.dumps(report.as_json(), indent=2) + "\n")
    write_whole(folder / PEERS_MARKDOWN, peer_markdown(report))
