"""Summary of a load in numbers: throughput, percentiles, requests refused and lost.

Pure.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from loadtest.client import OK
from loadtest.loops import LoadRun, TimedRequest

CPU = ("api", "workers", "decoders", "client")  # processes whose computing time is told


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value below which so many percent of values lie, interpolated; values need not be sorted.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values have no percentile")
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
    return below + (above - below) * (place - math.floor(place))


@dataclass(frozen=True, slots=True)
class Distribution:
    """Distribution of many numbers: mean and percentiles."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Summary:
    """Summary of a load in numbers; seconds throughout.

    Attributes:
        requests: sent.
        answered: requests with their whole answer.
        refused: requests that were told to come back later, and gave up or did not try.
        refusals_obeyed: times that a request came back.
        failed: requests that were lost, by status or by what broke.
        failure: what the first of them was told.
        answers: texts in the answers; several if a request has several questions.
        tokens: in these.
        took_s: from the first request to the last reply.
        answers_per_s: throughput.
        tokens_per_s: throughput.
        engine_s_per_answer: for which the server's engines worked; None if it does not tell.
        cpu_s_per_answer: of computing time, by the processes that took it: as far as the server tells its own, `api`,
            `workers` and `decoders`; and `client`, which is this program.
        latency_s: from due to answered.
        first_token_s: from due to the first text; streams only.
        per_token_s: between tokens after the first; streams only.
        late_s: from due to sent, which is this program's fault.
        cached: share of the answered requests for whose image the server had the features.
    """

    requests: int
    answered: int
    refused: int
    refusals_obeyed: int
    failed: Mapping[str, int]
    failure: str
    answers: int
    tokens: int
    took_s: float
    answers_per_s: float
    tokens_per_s: float
    engine_s_per_answer: float | None
    cpu_s_per_answer: Mapping[str, float]
    latency_s: Distribution | None
    first_token_s: Distribution | None
    per_token_s: Distribution | None
    late_s: Distribution | None
    cached: float | None

    @property
    def lost(self) -> int:
        """Number of requests that failed for other reasons than that they were refused."""
        return sum(self.failed.values())


def summarise(drive: LoadRun, seconds: Mapping[str, float] | None = None) -> Summary:
    """Summarise what came of a load in numbers.

    Args:
        drive: its requests, at least one.
        seconds: that were spent on them, as far as they are known: `engine`, and computing time by process.
    """
    outcomes = drive.outcomes
    answered = [each for each in outcomes if each.reply.status == OK]
    failed = [each.reply for each in outcomes if each.reply.status != OK and each.reply.come_back_s is None]
    answers, tokens = sum(each.answers for each in answered), sum(each.reply.tokens for each in answered)
    spent = {name: s / answers for name, s in (seconds or {}).items()} if answers else {}
    took_s = max(each.reply.ended_s for each in outcomes) - min(each.due_s for each in outcomes)
    return Summary(
        requests=len(outcomes),
        answered=len(answered),
        refused=len(outcomes) - len(answered) - len(failed),
        refusals_obeyed=drive.refusals_obeyed,
        failed=dict(Counter(reply.status for reply in failed)),
        failure=failed[0].detail if failed else "",
        answers=answers,
        tokens=tokens,
        took_s=took_s,
        answers_per_s=answers / took_s,
        tokens_per_s=tokens / took_s,
        engine_s_per_answer=spent.get("engine"),
        cpu_s_per_answer={name: s for name, s in spent.items() if name in CPU},
        latency_s=_distribution(each.reply.ended_s - each.due_s for each in answered),
        first_token_s=_distribution(_seconds_to_first_text(answered)),
        per_token_s=_distribution(_seconds_per_token(answered)),
        late_s=_distribution(each.sent_s - each.due_s for each in outcomes),
        cached=_share([each.reply.cached for each in answered if each.reply.cached is not None]),
    )


def _seconds_to_first_text(answered: Iterable[TimedRequest]) -> Iterable[float]:
    return (each.reply.first_text_s - each.due_s for each in answered if each.reply.first_text_s is not None)


def _seconds_per_token(answered: Iterable[TimedRequest]) -> Iterable[float]:
    """Return the seconds per token of each stream; answers to several questions grow side by side."""
    for each in answered:
        later = each.reply.tokens / each.answers - 1
        if each.reply.first_text_s is not None and later > 0:
            yield (each.reply.ended_s - each.reply.first_text_s) / later


def _distribution(values: Iterable[float]) -> Distribution | None:
    found = list(values)
    if not found:
        return None
    return Distribution(sum(found) / len(found), *(percentile(found, percent) for percent in (50, 90, 95, 99)))


def _share(flags: Sequence[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None
