"""The document of results: repeats together, ratios within a repeat, everything as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from loadtest.client import TimedResponse
from loadtest.loops import ClosedLoop, LoadRun, Loop, OpenLoop, TimedRequest
from loadtest.mix import Mix
from loadtest.report import results
from loadtest.report.results import RepeatSpread, document, figures_of, ratios, rows
from loadtest.summary import Summary, summarise
from loadtest.sweep import Load, LoadMeasurement


def summary(answer_s: float = 1.0, count: int = 4, **reply: Any) -> Summary:
    """Of requests one after another, each of which takes so long."""
    replies = [
        TimedResponse(**({"status": "200", "ended_s": (n + 1) * answer_s, "tokens": 8} | reply)) for n in range(count)
    ]
    outcomes = [TimedRequest(1, n * answer_s, n * answer_s, reply) for n, reply in enumerate(replies)]
    return summarise(LoadRun(outcomes, 0))


def load(clients: int = 1, hits: float = 0.0, loop: Loop | None = None) -> Load:
    return Load(Mix(hits=hits), loop or ClosedLoop(clients), requests=4)


def point(server: str, repeat: int, answer_s: float, clients: int = 1, **reply: Any) -> LoadMeasurement:
    return LoadMeasurement(server, repeat, load(clients), summary(answer_s, **reply))


POINTS = [
    *(point("ours", 0, 1.0), point("theirs", 0, 3.0), point("ours", 0, 1.0, 2), point("theirs", 0, 5.0, 2)),
    *(point("ours", 1, 2.0), point("theirs", 1, 8.0), point("ours", 1, 1.0, 2), point("theirs", 1, 6.0, 2)),
    *(point("ours", 2, 4.0), point("theirs", 2, 8.0), point("ours", 2, 1.0, 2), point("theirs", 2, 7.0, 2)),
]


def test_the_repeats_of_a_load_are_one_row_with_median_and_range() -> None:
    found = {(row.server, row.load.loop.pressure): row for row in rows(POINTS)}
    assert list(found) == [("ours", 1), ("theirs", 1), ("ours", 2), ("theirs", 2)]
    row = found["ours", 1]
    assert row.requests == 12
    assert row.figures["answers_per_s"] == RepeatSpread(0.5, 0.25, 1.0)
    assert row.figures["tokens_per_s"] == RepeatSpread(4.0, 2.0, 8.0)
    assert row.figures["s_per_answer"] == row.figures["latency_p90_s"] == RepeatSpread(2.0, 1.0, 4.0)
    assert row.figures["first_token_p50_s"] is None


def test_lost_and_refused_requests_are_counted_over_all_repeats() -> None:
    lost = [point("a", 0, 1.0, status="500"), point("a", 1, 1.0, status="429", come_back_s=1.0), point("a", 2, 1.0)]
    (row,) = rows(lost)
    assert (row.requests, row.lost, row.refused) == (12, 4, 4)


def test_ratios_are_taken_within_a_repeat_so_that_a_slow_machine_is_slow_for_both() -> None:
    one, two = ratios(POINTS)
    assert (one.server, one.other, one.load.loop.pressure, two.load.loop.pressure) == ("ours", "theirs", 1, 2)
    assert one.figures["answers_per_s"] == RepeatSpread(3.0, 2.0, 4.0)
    assert one.figures["latency_p50_s"] == RepeatSpread(pytest.approx(1 / 3), 0.25, 0.5)
    assert two.figures["answers_per_s"] == RepeatSpread(pytest.approx(6.0), pytest.approx(5.0), pytest.approx(7.0))


def test_one_server_has_no_ratios() -> None:
    assert list(ratios(POINTS[:1])) == []


def test_a_repeat_that_only_one_of_them_has_counts_for_no_ratio() -> None:
    (one,) = ratios([*POINTS[:2], POINTS[4]])
    assert one.figures["answers_per_s"] == RepeatSpread(3.0, 3.0, 3.0)


def test_a_server_that_answered_nothing_has_no_ratio_of_latency() -> None:
    (one,) = ratios([point("ours", 0, 1.0), point("theirs", 0, 1.0, status="500")])
    assert one.figures["answers_per_s"] is None
    assert one.figures["latency_p50_s"] is None


def test_only_a_server_that_is_kept_busy_shows_what_an_answer_costs_and_only_open_loops_are_late() -> None:
    closed = figures_of(LoadMeasurement("a", 0, load(), summary(0.5)))
    opened = figures_of(LoadMeasurement("a", 0, load(loop=OpenLoop(2.0)), summary(0.5)))
    assert (closed["s_per_answer"], closed["late_p99_s"]) == (0.5, None)
    assert (opened["s_per_answer"], opened["late_p99_s"]) == (None, 0.0)


def test_the_document_is_json_and_has_every_field_that_it_documents() -> None:
    head = {"command": "compare", "seed": 1, "started": "now", "servers": [], "capacity": {}, "broken": None}
    told = json.loads(json.dumps(document(head, POINTS)))
    documented = [line.split() for line in (results.__doc__ or "").splitlines() if line.startswith("    ")]
    names = {name.strip("[],") for words in documented for name in words[: 4 if words[0].endswith(",") else 1]}
    assert told.keys() == {name for name in names if not name.startswith(".")}
    assert told["version"] == 1
    assert len(told["points"]) == 12
    assert told["points"][0]["load"]["loop"]["clients"] == 1
    assert told["points"][0]["summary"]["answers_per_s"] == 1.0
    assert told["rows"][0]["figures"]["answers_per_s"] == {"median": 0.5, "low": 0.25, "high": 1.0}
    assert told["ratios"][0]["figures"]["answers_per_s"]["median"] == 3.0
