"""Shares of the decoders: all for a client alone, all but one while others are about."""

from __future__ import annotations

import pytest

from service.decoding.shares import PRESENT_S, DecoderShares


@pytest.fixture
def now():
    return [0.0]


def shares(decoders, now, *clients):
    made = DecoderShares(decoders, lambda: now[0])
    for client in clients:
        made.ask(client)
    return made


def taken(made, client):
    count = 0
    while made.may_take(client):
        made.take(client)
        count += 1
        if count > 100:
            break
    return count


@pytest.mark.parametrize(("decoders", "most"), [(1, 1), (2, 1), (4, 3)])
def test_one_is_kept_for_others_while_they_are_about(now, decoders, most):
    made = shares(decoders, now, "modest", "greedy")
    assert taken(made, "greedy") == most


def test_a_client_alone_may_have_all(now):
    made = shares(3, now, "alone")
    assert taken(made, "alone") == 3


def test_who_has_not_come_for_a_while_is_not_waited_for(now):
    made = shares(3, now, "modest")
    now[0] = PRESENT_S + 1
    made.ask("greedy")
    assert taken(made, "greedy") == 3


def test_what_is_given_back_may_be_taken_again(now):
    made = shares(2, now, "modest", "greedy")
    made.take("greedy")
    made.give_back("greedy")
    assert made.may_take("greedy")


def test_clients_that_left_are_forgotten(now):
    made = shares(2, now, *map(str, range(1000)))
    now[0] = PRESENT_S + 1
    made.ask("last")
    assert len(made._asked_s) == 1
