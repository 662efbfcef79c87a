"""The policy of connections: who has had its time, and who goes first at the bound."""

from __future__ import annotations

import pytest

from service.api.connections.policy import (
    LEFTOVER_S,
    LINGER_S,
    MIN_TAKEN_BYTES_S,
    QUIET_S,
    STALL_S,
    Facts,
    first_to_go,
    overdue,
)

HEAD_S, IDLE_S = 10.0, 75.0


@pytest.mark.parametrize(
    ("phase", "limit_s"),
    [("head", HEAD_S), ("idle", IDLE_S), ("leftover", LEFTOVER_S), ("refused", LINGER_S)],
)
def test_each_phase_has_its_time(phase, limit_s) -> None:
    facts = Facts(since_s=100.0, phase=phase)
    assert overdue(facts, 100.0 + limit_s - 0.1, HEAD_S, IDLE_S) is None
    assert overdue(facts, 100.0 + limit_s + 0.1, HEAD_S, IDLE_S) == phase


@pytest.mark.parametrize("phase", ["body", "busy", "closing"])
def test_the_time_of_a_request_is_not_the_connections_business(phase) -> None:
    assert overdue(Facts(since_s=0.0, phase=phase), 1e6, HEAD_S, IDLE_S) is None


def test_staying_in_a_phase_does_not_give_new_time() -> None:
    facts = Facts(since_s=0.0)
    facts.enter("head", 9.0)
    assert overdue(facts, HEAD_S + 1, HEAD_S, IDLE_S) == "head"
    facts.enter("busy", 9.5)
    facts.enter("head", 10.0)
    assert overdue(facts, HEAD_S + 1, HEAD_S, IDLE_S) is None


@pytest.mark.parametrize("phase", ["busy", "closing", "idle"])
def test_a_peer_that_takes_no_byte_or_too_few_is_overdue_in_whatever_phase(phase) -> None:
    facts, made = Facts(since_s=0.0, phase=phase), 1_000_000
    for second in range(int(STALL_S) + 1):
        facts.note_unsent(made, 500_000 - second * (MIN_TAKEN_BYTES_S - 1), float(second))
        assert overdue(facts, float(second), HEAD_S, IDLE_S) is None
    assert overdue(facts, STALL_S + 1.0, HEAD_S, IDLE_S) == "stalled"


def test_a_slow_peer_that_takes_enough_is_left_alone_while_more_is_written() -> None:
    facts = Facts(since_s=0.0, phase="busy")
    for second in range(300):
        taken = second * MIN_TAKEN_BYTES_S * 2
        facts.note_unsent(taken + 1000 + second * 50, 1000 + second * 50, float(second))
        assert overdue(facts, float(second), HEAD_S, IDLE_S) is None
    facts.note_unsent(10**6, 0, 301.0)
    assert overdue(facts, 1e6, HEAD_S, IDLE_S) is None


def crowd() -> dict[str, Facts]:
    return {
        "attacker, this moment": Facts(99.1 + QUIET_S, heard_s=99.1 + QUIET_S, address="6.6.6.6", phase="head"),
        "attacker, oldest": Facts(1.0, address="6.6.6.6", phase="head"),
        "attacker, kept alive": Facts(0.0, address="6.6.6.6", phase="idle"),
        "attacker, newer": Facts(2.0, address="6.6.6.6", phase="head"),
        "client, at work": Facts(0.0, address="1.1.1.1", phase="busy"),
        "client, kept alive": Facts(0.5, address="1.1.1.1", phase="idle"),
        "other, new": Facts(0.1, address="2.2.2.2", phase="head"),
        "proxy, kept alive": Facts(0.0, address="10.0.0.1", proxy=True, phase="idle"),
        "proxy, coming": Facts(0.0, heard_s=99.0 + QUIET_S, address="10.0.0.1", proxy=True, phase="body"),
        "quiet body": Facts(0.0, heard_s=99.0, address="1.1.1.1", phase="body"),
        "coming body": Facts(0.0, heard_s=99.0 + QUIET_S, address="1.1.1.1", phase="body"),
    }


def names(wanted: int) -> list[str]:
    every = crowd()
    by_facts = {id(facts): name for name, facts in every.items()}
    return [by_facts[id(facts)] for facts in first_to_go(every.values(), wanted, 99.1 + QUIET_S)]


def test_the_oldest_without_a_head_of_the_address_with_most_connections_goes_first() -> None:
    assert names(1) == ["attacker, oldest"]


def test_complete_requests_never_go_and_what_is_just_coming_and_proxies_go_last() -> None:
    assert names(99) == [
        "attacker, oldest", "attacker, newer", "other, new",  # no request yet
        "client, kept alive", "attacker, kept alive",
        "quiet body",
        "coming body", "attacker, this moment",  # whose address has fewer by now
        "proxy, kept alive",
    ]  # fmt: skip
