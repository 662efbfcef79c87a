"""A whole GPU run: the order of its parts, the time of each, and the report after each.

What matters most comes first; what a part leaves of its time goes to those after it. While one part runs the next
already imports. Main thread only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from model.bench.gpu.item import PartInput
from service.bench.gpu.journal import ItemOutcome
from service.bench.gpu.part import LEAST_S, Part, PartRun
from service.bench.gpu.report.files import JOURNAL_FILE, LOG_FILE, SERVER_LOG_FILE, GpuReport
from service.bench.gpu.server import LoadedServer, ServerLost

_MODEL, _SERVICE = "model.bench.gpu", "service.bench.gpu.items"
END_S = 6.0  # kept for the last report
SERVER_START_S = 75.0


@dataclass(frozen=True, slots=True)
class GpuRunOptions:
    """The options of a GPU run.

    Attributes:
        folder: of the report.
        device: `cpu` or `cuda`.
        models: whose speed is measured; the first is served.
        golden: folders with golden cases.
        seconds: for everything.
        only: names of the parts to run; empty for all of them.
        commit: of the source, for the report.
    """

    folder: Path
    device: str
    models: tuple[str, ...]
    golden: tuple[str, ...]
    seconds: float
    only: tuple[str, ...] = ()
    commit: str = "unknown"


def parts(models: Sequence[str]) -> list[Part]:
    """List all parts, the most important first."""
    speed = [Part(f"speed {name(model)}", f"{_MODEL}.speed", 24.0, model=n) for n, model in enumerate(models)]
    return [
        Part("machine", f"{_MODEL}.card", 12.0),
        Part("correctness", f"{_MODEL}.correctness", 70.0),
        *speed,
        Part("profile", f"{_MODEL}.kernels", 14.0, model=0),
        Part("products", f"{_MODEL}.products", 12.0),
        Part("engine", f"{_SERVICE}.engine", 20.0, model=0),
        Part("load", f"{_SERVICE}.load", 75.0, "service", model=0),
        Part("kill", f"{_SERVICE}.kill", 20.0, "service", model=0),
        Part("soak", f"{_SERVICE}.soak", 66.0, "service", model=0),
        Part("baseline", f"{_SERVICE}.naive_load", 30.0, "baseline", model=0),
    ]


def part_names() -> tuple[str, ...]:
    """Return what the parts are called, those of the models once."""
    return tuple(dict.fromkeys(part.name.split()[0] for part in parts(["model"])))


def name(model: str) -> str:
    """Return the name of a model in the report.

    >>> name("random:Pheye-x4-448")
    'x4-448'
    """
    return model.rpartition(":")[2].rstrip("/").rpartition("/")[2].removeprefix("Pheye-").removeprefix("pheye-")


def run(order: GpuRunOptions, tell: Callable[[str], None]) -> GpuReport:
    """Run every part that there is time for; the report is on disk whenever one has ended.

    Raises:
        OSError: the folder cannot be written.
    """
    end_s = time.monotonic() + order.seconds - END_S
    order.folder.mkdir(parents=True, exist_ok=True)
    (order.folder / JOURNAL_FILE).unlink(missing_ok=True)
    report = GpuReport(order.folder, _head(order))
    wanted = [part for part in parts(order.models) if not order.only or part.name.split()[0] in order.only]
    with ExitStack() as stack:
        log = stack.enter_context((order.folder / LOG_FILE).open("wb", buffering=0))
        server = LoadedServer(log, order.folder / SERVER_LOG_FILE)
        stack.callback(server.stop)
        runs = [PartRun(part, order.folder / JOURNAL_FILE, log) for part in wanted]
        for each in runs:
            stack.callback(each.abandon)
        try:
            for number, each in enumerate(runs):
                if number + 1 < len(runs):
                    runs[number + 1].prepare()
                seconds = _seconds(wanted[number:], end_s - time.monotonic())
                tell(f"{each.part.name}: {seconds:.0f} s of {max(0.0, end_s - time.monotonic()):.0f} s")
                for outcome in _part(order, each, (seconds, end_s), report, server):
                    report.add(outcome)
                    if outcome in report.wrong:
                        tell(f"  {outcome.item}: {outcome.state} {outcome.why or dict(outcome.data)}")
                report.write()
        except KeyboardInterrupt:
            tell("interrupted")
    report.finish()
    return report


def _seconds(left: Sequence[Part], seconds: float) -> float:
    """Return the seconds that the first of the parts that are left may take."""
    return max(0.0, seconds * left[0].share / sum(part.share for part in left))


def _part(
    order: GpuRunOptions, each: PartRun, times_s: tuple[float, float], report: GpuReport, server: LoadedServer
) -> Iterator[ItemOutcome]:
    """Run a part with what it needs; `times_s` is how long it may take, and when the whole run ends."""
    started_s, part, (seconds, end_s) = time.monotonic(), each.part, times_s
    models = order.models if part.model is None else order.models[part.model : part.model + 1]
    given = PartInput(order.device, models, order.golden, report.rates)
    if part.serves and seconds > LEAST_S:
        try:
            if server.ensure(part.serves, models[0], order.device, min(SERVER_START_S, seconds + 30.0)):
                yield ItemOutcome(part.name, "server", "done", {"start_s": server.start_s})
        except ServerLost as lost:
            yield ItemOutcome(part.name, "server", "failed", {}, str(lost))
            return
        given = replace(given, url=server.url, pid=server.pid)
    elif not part.serves:
        server.stop()
    left_s = max(seconds - (time.monotonic() - started_s), seconds / 2)
    yield from each.outcomes(replace(given, seconds=min(left_s, end_s - time.monotonic())), end_s)


def _head(order: GpuRunOptions) -> dict[str, Any]:
    return {
        "device": order.device,
        "models": list(order.models),
        "golden": [Path(folder).name for folder in order.golden],
        "seconds": order.seconds,
        "commit": order.commit,
    }
