"""The supervisor of one part of the GPU run: it starts the part, ends it when it hangs, restarts it after a crash.

Owns the part's process and its limits of time. Knows no item but by name. One thread.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

from model.bench.gpu.item import PartInput
from service.bench.gpu.journal import ItemJournal, ItemOutcome, State

ROOT = Path(__file__).parents[3]
POLL_S, LEAST_S = 0.05, 4.0  # less than this is not worth a process
GRACE_S = 8.0  # for the item that is under way when the part's time is over
RESTARTS = 4


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the GPU run.

    Attributes:
        name: its name.
        module: where its `items` are.
        share: of the run's time.
        serves: the server it needs: "service", "baseline", or none.
        model: index of the model it is about; None for all of them.
    """

    name: str
    module: str
    share: float
    serves: str = ""
    model: int | None = None


class Process:
    """The process of a part, importing or running.

    Args:
        part: which.
        journal: the file.
        log: what the process says beside it.
    """

    def __init__(self, part: Part, journal: Path, log: IO[bytes]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "service.bench.gpu.child", part.module, part.name, str(journal)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=ROOT,
            env=child_environment(),
        )

    def go(self, given: PartInput, skipped: Sequence[str]) -> None:
        """Let the process run its items, but for those that have been run."""
        pipe = self._process.stdin
        assert pipe is not None
        with suppress(BrokenPipeError):
            pipe.write(json.dumps({"given": asdict(given), "skipped": list(skipped)}).encode() + b"\n")
            pipe.close()

    @property
    def code(self) -> int | None:
        """The exit code of the process, None while it runs."""
        return self._process.poll()

    def end(self) -> None:
        """End the process and whatever it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def child_environment() -> dict[str, str]:
    """Copy the environment without settings of a service, and with this source first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PHEYE_")}
    paths = [str(ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    return {"OMP_NUM_THREADS": "4"} | kept | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


@dataclass(slots=True)
class _RunningItem:
    """The item that is running now."""

    name: str
    began_s: float
    limit_s: float


class PartRun:
    """The run of a part, from its first process to its last outcome.

    Args:
        part: which.
        journal: the file.
        log: where its processes write.
    """

    def __init__(self, part: Part, journal: Path, log: IO[bytes]) -> None:
        self.part = part
        self._path = journal
        self._log = log
        self._process: Process | None = None
        self._planned: list[str] = []
        self._ended: list[str] = []
        self._under: _RunningItem | None = None
        self._latest_s = math.inf

    def prepare(self) -> None:
        """Start the process, so that it imports ahead of its turn."""
        self._process = Process(self.part, self._path, self._log)

    def outcomes(self, given: PartInput, latest_s: float = math.inf) -> Iterator[ItemOutcome]:
        """Run the part for as long as it is given, and yield every item's outcome as it comes.

        The item that is under way then has some seconds more, but none after `latest_s` on the monotonic clock.
        """
        end_s, told = time.monotonic() + given.seconds, list[ItemOutcome]()
        self._latest_s = min(end_s + GRACE_S, latest_s)
        for _ in range(RESTARTS + 1):
            seconds = end_s - time.monotonic()
            if seconds < LEAST_S:
                break
            for outcome in self._once(replace(given, seconds=seconds)):
                told.append(outcome)
                yield outcome
            if not told or told[-1].state not in ("crashed", "timed out") or not self._left:
                break
        self.abandon()
        for name in self._left or ([] if told else [self.part.name]):
            yield ItemOutcome(self.part.name, name, "not reached")

    @property
    def _left(self) -> list[str]:
        return [name for name in self._planned if name not in self._ended]

    def abandon(self) -> None:
        """End the part's process, if there is one."""
        if self._process is not None:
            self._process.end()
        self._process = None

    def _once(self, given: PartInput) -> Iterator[ItemOutcome]:
        """Follow one process from its start to its end."""
        process = self._process = self._process or Process(self.part, self._path, self._log)
        journal, started_s = ItemJournal(self._path, self.part.name), time.monotonic()
        process.go(given, self._ended)
        hung = False
        while True:
            code = process.code  # before the journal, which then is whole
            for line in journal.news():
                yield from self._note(line)
            now_s = time.monotonic()
            if code is not None or now_s > self._latest_s:
                break
            if hung := self._hangs(now_s, started_s):
                break
            time.sleep(POLL_S)
        self.abandon()
        if code:
            yield self._lost("crashed", f"its process ended with {code}")
        elif code is None and hung:
            yield self._lost("timed out", "it hung")
        elif code is None:
            yield self._lost("not reached", "the time was over")

    def _hangs(self, now_s: float, started_s: float) -> bool:
        """Say whether the item under way, or the way to the first one, takes too long."""
        if self._under is not None:
            return now_s - self._under.began_s > self._under.limit_s
        return not self._planned and now_s - started_s > 90.0

    def _note(self, line: dict[str, Any]) -> Iterator[ItemOutcome]:
        if "plan" in line:
            self._planned = line["plan"]
        elif "began" in line:
            self._under = _RunningItem(line["began"], time.monotonic(), line["limit_s"])
        else:
            self._under = None
            self._ended.append(line["ended"])
            yield ItemOutcome(self.part.name, line["ended"], line["state"], line["data"], line["why"], line["took_s"])

    def _lost(self, state: State, why: str) -> ItemOutcome:
        """Describe the item that was under way when the process was lost, or the whole part if there was none."""
        under, self._under = self._under, None
        name = under.name if under else self.part.name
        self._ended.append(name)
        return ItemOutcome(self.part.name, name, state, {}, why, time.monotonic() - under.began_s if under else 0.0)
