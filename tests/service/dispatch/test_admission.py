"""Admission control between clients: nobody is locked out, nothing is kept free, the bound holds."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from service.dispatch.admission import LONGEST_WAIT_S, WaitingRoom
from service.messages.rows import Flow

FLOWS = st.builds(
    Flow, st.sampled_from("abcdef"), st.sampled_from([0.5, 1.0, 3.0]), st.sampled_from(["interactive", "bulk"])
)
ROOMS = st.builds(WaitingRoom, st.integers(1, 100), st.dictionaries(FLOWS, st.integers(0, 40), max_size=6))
A, B, C = (Flow(name) for name in "abc")


@given(ROOMS, FLOWS, st.integers(1, 20))
def test_whoever_finds_a_place_gets_it_and_twice_the_places_are_never_passed(room, flow, rows: int) -> None:
    if room.taken + rows <= room.places:
        assert room.admits(flow, rows)
    if room.admits(flow, rows):
        assert room.taken + rows <= 2 * room.places


@given(ROOMS, FLOWS, st.integers(1, 20))
def test_who_stays_within_its_share_is_refused_by_the_bound_alone(room, flow, rows: int) -> None:
    if room.own(flow) + rows <= room.share(flow) and room.taken + rows <= 2 * room.places:
        assert room.admits(flow, rows)


@given(ROOMS, FLOWS, st.integers(1, 20), st.floats(0.0, 30.0), st.integers(0, 64))
def test_a_refusal_names_a_time_that_can_be_obeyed(room, flow, rows: int, row_s: float, slots: int) -> None:
    assert 1 <= room.retry_after_s(flow, rows, row_s, slots) <= LONGEST_WAIT_S


@given(st.integers(1, 20), st.lists(st.tuples(FLOWS, st.integers(1, 8), st.booleans()), max_size=200))
def test_whatever_comes_and_goes_the_room_holds_at_most_twice_its_places(places: int, events) -> None:
    waiting: Counter[Flow] = Counter()
    for flow, rows, leaves in events:
        if leaves:
            waiting[flow] = max(0, waiting[flow] - rows)
        elif WaitingRoom(places, waiting).admits(flow, rows):
            waiting[flow] += rows
        assert sum(waiting.values()) <= 2 * places


def test_a_lone_client_may_use_every_place_and_no_more() -> None:
    assert WaitingRoom(64, {A: 63}).admits(A, 1)
    assert not WaitingRoom(64, {A: 64}).admits(A, 1)


def test_a_client_within_its_share_is_admitted_though_another_has_filled_the_room() -> None:
    assert WaitingRoom(64, {A: 64, B: 31}).admits(B, 1)
    assert not WaitingRoom(64, {A: 64, B: 32}).admits(B, 1)
    assert not WaitingRoom(64, {A: 64, B: 1}).admits(A, 1)


def test_a_share_is_by_weight() -> None:
    heavy = Flow("b", 3.0)
    assert WaitingRoom(64, {A: 64}).admits(heavy, 48)
    assert not WaitingRoom(64, {A: 64}).admits(heavy, 49)


def test_a_clients_bulk_rows_do_not_keep_out_its_interactive_ones() -> None:
    bulk = Flow("a", priority="bulk")
    assert WaitingRoom(64, {bulk: 64}).admits(A, 1)
    assert not WaitingRoom(64, {bulk: 64}).admits(bulk, 1)
    assert not WaitingRoom(64, {A: 64}).admits(bulk, 1)


def test_a_swarm_of_addresses_passes_no_bound() -> None:
    waiting: Counter[Flow] = Counter()
    for number in range(10_000):
        flow = Flow(f"10.0.{number // 256}.{number % 256}")
        if WaitingRoom(64, waiting).admits(flow, 1):
            waiting[flow] += 1
    assert 64 <= sum(waiting.values()) <= 128


def test_who_is_far_over_its_share_is_told_to_stay_away_for_longer() -> None:
    few, many = WaitingRoom(64, {A: 40, B: 24}), WaitingRoom(64, {A: 64, B: 32})
    assert few.retry_after_s(A, 1, 1.0, 8) < many.retry_after_s(A, 1, 1.0, 8)
