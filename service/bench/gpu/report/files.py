"""Report files of a GPU run: `gpu.json` with every outcome, `gpu.md` with tables, plots, the journal and a log.

All of it is rewritten whenever a part has ended. Owns the files; `tables` owns the words, `plots` the curves. Main
thread only.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model.whole_files import write_whole
from service.bench.gpu.journal import ItemOutcome
from service.bench.gpu.part import ROOT, child_environment
from service.bench.gpu.report.tables import markdown

JSON_FILE, MARKDOWN_FILE, JOURNAL_FILE = "gpu.json", "gpu.md", "journal.jsonl"
LOG_FILE, SERVER_LOG_FILE = "log.txt", "server.txt"
VERSION = 1
PLOT_S = 20.0


class GpuReport:
    """The report of a GPU run, which grows as outcomes come.

    Args:
        folder: where the files are.
        head: what the run was asked to do.
    """

    def __init__(self, folder: Path, head: Mapping[str, Any]) -> None:
        self._folder = folder
        self._head = dict(head) | {"version": VERSION, "started": _now()}
        self.outcomes: list[ItemOutcome] = []
        self._plotting: subprocess.Popen[bytes] | None = None

    def add(self, outcome: ItemOutcome) -> None:
        """Take one more outcome."""
        self.outcomes.append(outcome)

    @property
    def rates(self) -> dict[str, dict[str, float]]:
        """The machine's best rates by number format, as far as they are known."""
        found = [each.data for each in self.outcomes if each.item.startswith("rates ") and each.state == "done"]
        return {each["dtype"]: {key: each[key] for key in ("bytes_per_s", "flops_per_s")} for each in found}

    @property
    def wrong(self) -> list[ItemOutcome]:
        """The outcomes that failed, crashed or hung, and the checks whose bound does not hold."""
        bad = ("failed", "crashed", "timed out")
        return [each for each in self.outcomes if each.state in bad or each.data.get("verdict") == "failed"]

    def write(self) -> None:
        """Bring the files up to date; plots follow in a process of their own."""
        told = self._head | {"written": _now(), "outcomes": [asdict(each) for each in self.outcomes]}
        write_whole(self._folder / JSON_FILE, json.dumps(told, indent=1, default=str) + "\n")
        write_whole(self._folder / MARKDOWN_FILE, self.text)
        if self._plotting is None or self._plotting.poll() is not None:
            self._plotting = self._plot()

    def finish(self) -> None:
        """Write the files for the last time, plots included."""
        self._wait()
        self.write()
        self._wait()

    @property
    def text(self) -> str:
        """Write the whole report in Markdown."""
        return markdown(self._head, self.outcomes)

    def _plot(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "service.bench.gpu.report.plots", str(self._folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env=child_environment(),
        )

    def _wait(self) -> None:
        if self._plotting is None:
            return
        try:
            self._plotting.wait(PLOT_S)
        except subprocess.TimeoutExpired:
            self._plotting.kill()
            self._plotting.wait()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
