"""Command of the chaos tests: run scenarios on this machine and write down how they ended.

`python -m tests.chaos --report FILE` adds to the table that `docs/reliability.md` shows; `--only NAME` chooses
scenarios, `--share 0.1` takes a tenth of the repetitions and of the time. Exit code 1 if a promise did not hold.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.chaos import all_scenarios
from tests.chaos.report import ResultRow, add_to_report, describe_machine
from tests.chaos.scenario import Scale, Scenario

logger = logging.getLogger("chaos")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen scenarios one after the other and return the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for name in ("httpx", "pheye"):  # requests of the load, and those that fuzzing sends in this process
        logging.getLogger(name).setLevel(logging.ERROR)
    chosen = [each for each in all_scenarios() if not options.only or each.name in options.only]
    if unknown := set(options.only) - {each.name for each in chosen}:
        known = ", ".join(each.name for each in all_scenarios())
        sys.exit(f"--only: no such scenario: {', '.join(sorted(unknown))}; there are {known}")
    if not 0.0 < options.share <= 1.0:
        sys.exit("--share: write a number above 0 and up to 1")
    held = True
    for scenario in chosen:
        row = attempt(scenario, Scale(options.share))
        held = held and row.holds
        if options.report is not None:
            add_to_report(options.report, row)
    return 0 if held else 1


def attempt(scenario: Scenario, scale: Scale) -> ResultRow:
    """Run a scenario; whatever ends it early counts as a promise that did not hold."""
    logger.info("%s: %s ...", scenario.name, scenario.violence)
    started_s = time.monotonic()
    try:
        result, holds = scenario.run(scale), True
    except Exception as error:
        logger.exception("%s", scenario.name)
        result, holds = f"{type(error).__name__}: {error}", False
    took_s = time.monotonic() - started_s
    logger.info("%s: %s after %.0f s: %s", scenario.name, "holds" if holds else "BROKEN", took_s, result)
    return ResultRow.of(scenario, scale, result, holds=holds, took_s=took_s, machine=describe_machine())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--report", type=Path, help="JSON file to which the results are added")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="run this scenario; repeatable")
    parser.add_argument("--share", type=float, default=1.0, help="share of the repetitions and of the time, up to 1")
    return parser


if __name__ == "__main__":
    sys.exit(main())
