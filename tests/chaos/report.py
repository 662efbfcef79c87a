"""The report of the chaos tests: a JSON list of results, the newest of each scenario, for the table in the docs."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos.scenario import Scale, Scenario


@dataclass(frozen=True, slots=True)
class ResultRow:
    """How a scenario ended: a line of the table in `docs/reliability.md`."""

    name: str
    promise: str
    violence: str
    share: float
    result: str
    holds: bool
    took_s: float
    machine: str
    commit: str
    date: str

    @classmethod
    def of(
        cls, scenario: Scenario, scale: Scale, result: str, *, holds: bool, took_s: float, machine: str
    ) -> ResultRow:
        """Note how a scenario ended, here and now."""
        return cls(
            scenario.name, scenario.promise, scenario.violence, scale.share, result, holds, round(took_s, 1), machine,
            _commit(), datetime.now(UTC).date().isoformat(),
        )  # fmt: skip


def add_to_report(file: Path, row: ResultRow) -> None:
    """Put a result into the report in place of its scenario's former one; the order of the others stays."""
    rows = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    names = [former["name"] for former in rows]
    if row.name in names:
        rows[names.index(row.name)] = asdict(row)
    else:
        rows.append(asdict(row))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def describe_machine() -> str:
    """Describe the machine in a few words.

    >>> "cores" in describe_machine()
    True
    """
    memory_gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1024**3
    return f"{len(os.sched_getaffinity(0))} cores ({platform.machine()}), {memory_gib:.0f} GiB"


def _commit() -> str:
    asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "unknown"
