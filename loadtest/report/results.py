"""Results of a run as a document for programs: every load, medians over repeats, ratios between servers.

`results.json`, version 1; seconds throughout, a figure that does not apply is null:

    version, command, seed, started     1; which command with which seed; when, in UTC
    client                              python, httpx, platform, cores of the machine that sent the load
    servers[]                           name, url, card (what /readyz says: model, device, dtype, ...)
    points[]                            server, repeat, load, summary: one load on one server
      .load                             mix, loop (closed: clients, patience_s; open: rate_per_s), requests, ...
      .summary                          the fields of `loadtest.summary.Summary`; throughput is .answers_per_s
    rows[]                              server, load, requests, refused, lost, figures: the repeats of a point together
      .figures                          by name: median, low, high, or null
    ratios[]                            server (the first), other, load, figures: first over other in the same repeat
    capacity                            by server, the highest rate that kept the target; `capacity` only
    broken                              why the run ended early; null if it did not

A field that is added leaves the version as it is; one that changes its meaning or goes raises it. Pure.
"""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import httpx

from loadtest.loops import ClosedLoop
from loadtest.summary import CPU, Distribution
from loadtest.sweep import Load, LoadMeasurement

VERSION = 1
_COMPARED = ("answers_per_s", "s_per_answer", "latency_p50_s", "latency_p90_s", "latency_p99_s")


@dataclass(frozen=True, slots=True)
class RepeatSpread:
    """Spread of one figure over the repeats."""

    median: float
    low: float
    high: float


Figures = Mapping[str, RepeatSpread | None]


@dataclass(frozen=True, slots=True)
class ResultRow:
    """Load on one server, all repeats together."""

    server: str
    load: Load
    requests: int
    refused: int
    lost: int
    figures: Figures


@dataclass(frozen=True, slots=True)
class Ratio:
    """Ratios of the first server's figures to another's under the same load, taken within each repeat."""

    server: str
    other: str
    load: Load
    figures: Figures


def figures_of(point: LoadMeasurement) -> dict[str, float | None]:
    """Return what tables and plots show of a point, by name.

    `s_per_answer` is what an answer costs a server that is kept busy, and so for closed loops only; `late_p99_s` is
    for open ones, as nobody can be late who waits for an answer.
    """
    summary, closed = point.summary, isinstance(point.load.loop, ClosedLoop)
    return {
        "answers_per_s": summary.answers_per_s,
        "tokens_per_s": summary.tokens_per_s,
        "s_per_answer": summary.took_s / summary.answers if closed and summary.answers else None,
        "engine_s_per_answer": summary.engine_s_per_answer,
        **{f"{name}_cpu_s_per_answer": summary.cpu_s_per_answer.get(name) for name in CPU},
        **{f"latency_{name}_s": _quantile(summary.latency_s, name) for name in ("p50", "p90", "p99")},
        **{f"first_token_{name}_s": _quantile(summary.first_token_s, name) for name in ("p50", "p90", "p99")},
        "per_token_p50_s": _quantile(summary.per_token_s, "p50"),
        "late_p99_s": None if closed else _quantile(summary.late_s, "p99"),
        "cached": summary.cached,
    }


def _quantile(distribution: Distribution | None, name: str) -> float | None:
    return None if distribution is None else getattr(distribution, name)


def rows(points: Sequence[LoadMeasurement]) -> Iterator[ResultRow]:
    """Group the points of each load and server, in the order they first appear."""
    for server, load in dict.fromkeys((point.server, point.load) for point in points):
        same = [point for point in points if (point.server, point.load) == (server, load)]
        yield ResultRow(
            server,
            load,
            requests=sum(point.summary.requests for point in same),
            refused=sum(point.summary.refused for point in same),
            lost=sum(point.summary.lost for point in same),
            figures=_spreads([figures_of(point) for point in same]),
        )


def ratios(points: Sequence[LoadMeasurement]) -> Iterator[Ratio]:
    """Compare the first server with each other one, load by load."""
    servers, loads = (list(dict.fromkeys(found)) for found in zip(*((p.server, p.load) for p in points), strict=True))
    figures = {(point.server, point.load, point.repeat): figures_of(point) for point in points}
    repeats = sorted({point.repeat for point in points})
    for other in servers[1:]:
        for load in loads:
            both = [(figures.get((servers[0], load, n)), figures.get((other, load, n))) for n in repeats]
            pairs = [_divided(first, second) for first, second in both if first and second]
            if pairs:
                yield Ratio(servers[0], other, load, _spreads(pairs))


def _divided(first: Mapping[str, float | None], second: Mapping[str, float | None]) -> dict[str, float | None]:
    found = {name: (first[name], second[name]) for name in _COMPARED}
    return {name: above / below if above is not None and below else None for name, (above, below) in found.items()}


def _spreads(found: Sequence[Mapping[str, float | None]]) -> dict[str, RepeatSpread | None]:
    return {name: _spread([each[name] for each in found]) for name in found[0]}


def _spread(values: Sequence[float | None]) -> RepeatSpread | None:
    known = [value for value in values if value is not None]
    return RepeatSpread(statistics.median(known), min(known), max(known)) if known else None


def document(head: Mapping[str, Any], points: Sequence[LoadMeasurement]) -> dict[str, Any]:
    """Build the whole document.

    Args:
        head: what the points do not tell: command, seed, started, servers, and what else belongs to the command.
        points: at least one.
    """
    return {
        "version": VERSION,
        **head,
        "client": {
            "python": platform.python_version(),
            "httpx": httpx.__version__,
            "platform": platform.platform(),
            "cores": os.cpu_count(),
        },
        "points": [asdict(point) for point in points],
        "rows": [asdict(row) for row in rows(points)],
        "ratios": [asdict(ratio) for ratio in ratios(points)],
    }
