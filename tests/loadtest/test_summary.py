"""From requests to numbers: percentiles, throughput, what counts as refused and what as lost."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from loadtest.client import TimedResponse
from loadtest.loops import LoadRun, TimedRequest
from loadtest.summary import percentile, summarise


def outcome(ended_s: float, *, due_s: float = 0.0, sent_s: float = 0.0, answers: int = 1, **reply: Any) -> TimedRequest:
    return TimedRequest(answers, due_s, sent_s, TimedResponse(**({"status": "200", "ended_s": ended_s} | reply)))


@pytest.mark.parametrize("percent", [0, 1, 50, 90, 99, 100])
@pytest.mark.parametrize("count", [1, 2, 10, 101])
def test_percentiles_are_numpys(percent: float, count: int) -> None:
    values = list(np.random.default_rng(count).normal(size=count))
    assert percentile(values, percent) == pytest.approx(float(np.percentile(values, percent)))


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_throughput_counts_texts_and_tokens_over_the_whole_time() -> None:
    outcomes = [
        outcome(11.0, due_s=10.0, sent_s=10.0, tokens=8),
        outcome(14.0, due_s=11.0, sent_s=11.0, answers=3, tokens=24),
    ]
    summary = summarise(LoadRun(outcomes, 0), {"engine": 2.0, "api": 1.0, "client": 0.5})
    assert (summary.answered, summary.answers, summary.tokens, summary.took_s) == (2, 4, 32, 4.0)
    assert (summary.answers_per_s, summary.tokens_per_s, summary.engine_s_per_answer) == (1.0, 8.0, 0.5)
    assert summary.cpu_s_per_answer == {"api": 0.25, "client": 0.125}
    assert summary.latency_s is not None
    assert summary.latency_s.mean == 2.0
    assert math.isclose(summary.latency_s.p90, 2.8)


def test_latency_counts_from_when_a_request_was_due_and_not_from_when_it_was_sent() -> None:
    summary = summarise(LoadRun([outcome(5.0, due_s=1.0, sent_s=4.0, first_text_s=4.5, tokens=6)], 0))
    assert summary.latency_s is not None
    assert summary.first_token_s is not None
    assert summary.per_token_s is not None
    assert summary.late_s is not None
    assert (summary.latency_s.p50, summary.first_token_s.p50, summary.late_s.p50) == (4.0, 3.5, 3.0)
    assert summary.per_token_s.p50 == pytest.approx(0.1)


def test_the_tokens_of_several_answers_come_side_by_side() -> None:
    summary = summarise(LoadRun([outcome(3.0, first_text_s=1.0, tokens=10, answers=2)], 0))
    assert summary.per_token_s is not None
    assert summary.per_token_s.p50 == pytest.approx(0.5)


def test_answers_that_are_no_streams_have_no_first_token() -> None:
    summary = summarise(LoadRun([outcome(1.0, tokens=5), outcome(2.0, tokens=1, first_text_s=None)], 0))
    assert summary.first_token_s is None
    assert summary.per_token_s is None


def test_refused_is_who_was_told_to_come_back_and_lost_is_all_else() -> None:
    outcomes = [
        outcome(1.0, tokens=4),
        outcome(1.0, status="429", come_back_s=1.0),
        outcome(1.0, status="429", detail="for good"),
        outcome(1.0, status="503", come_back_s=2.0),
        outcome(1.0, status="ReadError", detail="gone"),
        outcome(1.0, status="ReadError"),
    ]
    summary = summarise(LoadRun(outcomes, 7))
    assert (summary.requests, summary.answered, summary.refused, summary.refusals_obeyed) == (6, 1, 2, 7)
    assert summary.failed == {"429": 1, "ReadError": 2}
    assert (summary.lost, summary.failure) == (3, "for good")


def test_a_load_without_any_answer_has_no_latency() -> None:
    summary = summarise(LoadRun([outcome(1.0, status="500")], 0), {"engine": 1.0, "client": 1.0})
    assert summary.latency_s is None
    assert (summary.engine_s_per_answer, summary.cpu_s_per_answer) == (None, {})
    assert (summary.answers_per_s, summary.lost) == (0.0, 1)


def test_the_share_of_cached_images_is_of_those_that_the_server_tells_of() -> None:
    outcomes = [outcome(1.0, cached=flag) for flag in (True, True, False, None)]
    assert summarise(LoadRun(outcomes, 0)).cached == pytest.approx(2 / 3)
    assert summarise(LoadRun(outcomes[3:], 0)).cached is None


def test_a_summary_becomes_json_as_it_is() -> None:
    told = json.loads(json.dumps(asdict(summarise(LoadRun([outcome(1.0, status="500"), outcome(2.0)], 0)))))
    assert told["failed"] == {"500": 1}
    assert told["latency_s"] == {"mean": 2.0, "p50": 2.0, "p90": 2.0, "p95": 2.0, "p99": 2.0}
