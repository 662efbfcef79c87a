"""`python -m loadtest`: measure, report, and write the results down.

Exit code 0; 1 if requests were lost, or a server was, or results, or no rate keeps the target; 2 if it cannot run as
typed; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from loadtest.capacity import LatencyTarget, find_capacity
from loadtest.ending import EXIT_INTERRUPTED, EXIT_LOST, ended, lost
from loadtest.options import loads_of, parse
from loadtest.parser import EXIT_USAGE
from loadtest.report.plots import NothingToPlot, check_plot, plot
from loadtest.report.results import document, ratios, rows
from loadtest.report.tables import console, point_words, print_ratios, print_rows
from loadtest.servers import ServerError
from loadtest.sweep import LoadMeasurement, measure

INTERRUPTED = "interrupted"
STANDARD_OUTPUT = Path("-")


@dataclass(slots=True)
class LoadTest:
    """Load test of one command, during and after its run.

    Attributes:
        options: what was typed.
        errors: standard error, which follows the run.
        started: when, in UTC.
        cards: what each server says of itself.
        points: what was measured so far.
        capacity: by server, the highest rate that keeps the target.
        broken: why it ended early.
    """

    options: argparse.Namespace
    errors: Console = field(default_factory=lambda: Console(stderr=True, highlight=False, soft_wrap=True))
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    cards: dict[str, dict[str, Any]] = field(default_factory=dict)
    points: list[LoadMeasurement] = field(default_factory=list)
    capacity: dict[str, float | None] = field(default_factory=dict)
    broken: str | None = None

    async def measure(self) -> None:
        """Run the command's loads.

        Raises:
            ServerError: a server is not there, not ready, or was lost.
        """
        options, loads = self.options, loads_of(self.options)
        self.cards = {server.name: await server.card() for server in options.server}
        if options.command != "capacity":
            async for point in measure(options.server, loads, options.repeats, options.seed):
                self._note(point)
            return
        target = LatencyTarget(options.percentile, options.target)
        for server in options.server:
            self.capacity[server.name] = await find_capacity(
                server, loads[0], target, precision=options.precision, seed=options.seed, note=self._note
            )

    def _note(self, point: LoadMeasurement) -> None:
        self.points.append(point)
        self.errors.print(point_words(point), markup=False)

    def report(self) -> int:
        """Print tables, write files, and return the exit code."""
        if self.points:
            out, told = console(aside=self.options.json == STANDARD_OUTPUT), list(rows(self.points))
            print_rows(told, out)
            print_ratios(ratios(self.points), out)
            for name, rate in self.capacity.items():
                out.print(f"{name}: {'no rate' if rate is None else f'{rate:.3g} requests/s'} within the target")
            if self.options.json:
                self._write(self.options.json)
            if self.options.report:
                self._write(self.options.report / "results.json")
                plot(list(rows(self.points)), list(ratios(self.points)), self.options.report / "report.png")
        if self.broken:
            self.errors.print(f"loadtest: {self.broken}", markup=False)
        if self.broken == INTERRUPTED:
            return EXIT_INTERRUPTED
        lost = not self.capacity and any(point.summary.lost for point in self.points)
        return EXIT_LOST if self.broken or lost or None in self.capacity.values() else 0

    def _write(self, file: Path) -> None:
        head = {
            "command": self.options.command,
            "seed": self.options.seed,
            "started": self.started,
            "servers": [
                {"name": server.name, "url": server.shown_url, "card": self.cards[server.name]}  # no key
                for server in self.options.server
            ],
            "capacity": self.capacity,
            "broken": self.broken,
        }
        text = json.dumps(document(head, self.points), indent=2)
        if file == STANDARD_OUTPUT:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
            return
        if file.exists() and not file.is_file():  # a pipe or a device is written into, not replaced
            file.write_text(text + "\n", encoding="utf-8")
            return
        place = file.resolve()  # a link stays one
        partial = place.with_name(".partial-" + place.name)  # a full disk leaves no half a result behind
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(place)


def check_file(file: Path) -> None:
    """Check that a file can be written, before an hour of load.

    Raises:
        OSError: it cannot.
    """
    new = not file.exists()
    if new or file.is_file():
        file.open("ab").close()
    elif file.is_dir():
        raise IsADirectoryError(errno.EISDIR, "this is a folder; name a file in it", str(file))
    if new:
        file.resolve().unlink()


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line."""
    run = LoadTest(parse(sys.argv[1:] if words is None else words))
    try:
        if run.options.report:
            check_plot()
            run.options.report.mkdir(parents=True, exist_ok=True)
            check_file(run.options.report / "results.json")
        if run.options.json and run.options.json != STANDARD_OUTPUT:
            check_file(run.options.json)
    except (NothingToPlot, OSError) as error:
        run.errors.print(f"loadtest: {error}", markup=False)
        return EXIT_USAGE
    try:
        asyncio.run(run.measure())
    except ServerError as error:
        run.broken = str(error)
    except KeyboardInterrupt:
        run.broken = INTERRUPTED
    try:
        return run.report()
    except OSError as error:  # a disk that has become full; the tables have been printed
        return lost(error)


if __name__ == "__main__":
    sys.exit(ended(main))
