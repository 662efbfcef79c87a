"""Table of the chaos tests for the documentation: what is promised, what was done to the service, how it ended.

Reads the report that `make chaos` keeps below the repository's root; knows no scenario. Main thread.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.cli.dev.docs.markdown import table

REPORT = "docs/results/chaos.json"


def chaos(root: Path) -> str:
    """Write a line for each scenario of the report.

    Raises:
        ValueError: a promise did not hold; it must be mended, not written down.
    """
    rows: list[Mapping[str, Any]] = json.loads((root / REPORT).read_text(encoding="utf-8"))
    broken = [row["name"] for row in rows if not row["holds"]]
    if broken:
        raise ValueError(f"{REPORT}: these promises did not hold: {', '.join(broken)}")
    head = ("Promise", "Violence", "Result", "Machine", "Commit, date")
    return table(head, [_line(row) for row in rows])


def _line(row: Mapping[str, Any]) -> tuple[str, ...]:
    share = row["share"]
    violence = row["violence"] if share == 1.0 else f"{row['violence']} (here {share:.0%} of it)"
    return row["promise"], violence, row["result"], row["machine"], f"`{row['commit']}`, {row['date']}"
