"""Fair shares, fair order and preemption as pure functions: proportional, work-conserving, without starvation."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.messages.rows import Flow
from service.worker.scheduling.fair_queue import WeightedFairQueue
from service.worker.scheduling.fairness import (
    QUANTUM_TOKENS,
    SlotHolder,
    VirtualTime,
    fair_order,
    fair_shares,
    light_flows,
    to_preempt,
)

FLOWS = st.builds(
    Flow, st.sampled_from("abcdef"), st.sampled_from([0.5, 1.0, 3.0]), st.sampled_from(["interactive", "bulk"])
)
A, B, C = (Flow(name) for name in "abc")
BULK = Flow("a", 1.0, "bulk")


@st.composite
def queues(draw: st.DrawFn) -> tuple[dict[Flow, dict[str, int]], Counter[Flow], int]:
    flows = draw(st.lists(FLOWS, min_size=1, max_size=6, unique=True))
    numbers = iter(range(1000))
    waiting = {}
    for flow in flows:
        rows = [next(numbers) for _ in range(draw(st.integers(1, 5)))]
        waiting[flow] = {str(number): number for number in rows}
    slots = draw(st.integers(1, 8))
    running = Counter(draw(st.lists(st.sampled_from(flows), max_size=slots)))
    return waiting, running, slots


def order(waiting, running, slots, limit, used=None) -> list[str]:
    shares = fair_shares([*waiting, *running], running, slots)
    used = used or VirtualTime(dict.fromkeys(waiting, 0.0), {"interactive": 0.0, "bulk": 0.0})
    return fair_order(waiting, running, shares, used, 0.1, limit)


@given(queues(), st.integers(1, 40))
def test_the_order_holds_every_row_once_and_each_flow_in_its_own_order(queue, limit: int) -> None:
    waiting, running, slots = queue
    made = order(waiting, running, slots, limit)
    assert len(made) == len(set(made)) == min(limit, sum(map(len, waiting.values())))
    for rows in waiting.values():
        assert [row_id for row_id in made if row_id in rows] == list(rows)[: len(set(made) & set(rows))]


@given(queues())
def test_a_flow_below_its_share_comes_before_one_that_has_it(queue) -> None:
    waiting, running, slots = queue
    shares = fair_shares([*waiting, *running], running, slots)
    first = order(waiting, running, slots, 1)[0]
    chosen = next(flow for flow in waiting if first in waiting[flow])
    if running[chosen] + 1 > shares[chosen]:
        assert not any(running[flow] + 1 <= shares[flow] for flow in waiting if flow.priority == chosen.priority)


@given(queues())
def test_interactive_rows_come_before_bulk_ones_that_came_before_them(queue) -> None:
    waiting, running, slots = queue
    kinds = {row_id: flow.priority for flow, rows in waiting.items() for row_id in rows}
    made = order(waiting, running, slots, 1)
    if "interactive" in kinds.values():
        assert kinds[made[0]] == "interactive"


@st.composite
def crowds(draw: st.DrawFn) -> tuple[Flow, list[SlotHolder], dict[Flow, float]]:
    flows = draw(st.lists(FLOWS, min_size=2, max_size=6, unique=True))
    tokens = st.integers(0, 20)
    holders = [
        SlotHolder(slot, draw(st.sampled_from(flows)), had := draw(tokens), min(had, draw(tokens)))
        for slot in range(draw(st.integers(1, 8)))
    ]
    running = Counter(holder.flow for holder in holders)
    return draw(st.sampled_from(flows)), holders, fair_shares(flows, running, len(holders))


@given(crowds())
def test_nobody_takes_a_slot_from_who_has_no_more_than_the_fair_share(crowd) -> None:
    taker, holders, shares = crowd
    loser = to_preempt(taker, holders, shares)
    if loser is None:
        return
    held = Counter(holder.flow for holder in holders)
    assert loser.slot_tokens >= QUANTUM_TOKENS
    assert held[taker] + 1 <= shares[taker]
    assert loser.flow != taker
    if loser.flow.priority == taker.priority:
        assert held[loser.flow] > shares[loser.flow]
    else:
        assert (taker.priority, loser.flow.priority) == ("interactive", "bulk")


@given(crowds())
def test_slots_are_never_taken_back_and_forth(crowd) -> None:
    """After a flow has taken all that it may, the losers have no right to any of them."""
    _, holders, _ = crowd
    flows = {holder.flow for holder in holders} | {crowd[0]}
    rows = [SlotHolder(holder.slot, holder.flow, 50, 50) for holder in holders]
    for _ in range(100):
        shares = fair_shares(flows, Counter(row.flow for row in rows), len(rows))
        takes = [(flow, loser) for flow in flows if (loser := to_preempt(flow, rows, shares)) is not None]
        if not takes:
            return
        taker, loser = takes[0]
        rows = [SlotHolder(row.slot, taker, 50, 50) if row.slot == loser.slot else row for row in rows]
    raise AssertionError("slots were taken without end")


def holders(*flows: Flow, tokens: int = 50) -> list[SlotHolder]:
    return [SlotHolder(slot, flow, tokens + slot, tokens + slot) for slot, flow in enumerate(flows)]


def test_a_newcomer_takes_the_slot_of_the_fewest_tokens_from_who_holds_the_most() -> None:
    crowd = holders(A, A, A, A, A, B, B, B)
    shares = fair_shares((A, B, C), Counter(row.flow for row in crowd), 8)
    loser = to_preempt(C, crowd, shares)
    assert loser is not None
    assert (loser.slot, loser.flow) == (0, A)


def test_a_row_keeps_its_slot_for_a_few_tokens() -> None:
    crowd = [SlotHolder(slot, A, 99, QUANTUM_TOKENS - 1) for slot in range(4)]
    assert to_preempt(B, crowd, {A: 2.0, B: 2.0}) is None


def test_any_interactive_row_takes_the_slot_of_a_bulk_row_and_never_the_other_way_round() -> None:
    crowd = holders(BULK, A, BULK)
    shares = fair_shares((A, BULK), Counter(row.flow for row in crowd), 3)
    loser = to_preempt(A, crowd, shares)
    assert loser is not None
    assert loser.slot == 0
    assert to_preempt(BULK, holders(A, A, A), fair_shares((A, BULK), {A: 3}, 3)) is None


def test_a_flow_is_light_while_others_ask_for_more_than_their_share() -> None:
    assert light_flows({A: 64, B: 1}, {A: 4.0, B: 4.0}) == {B}
    assert light_flows({A: 2, B: 1}, {A: 4.0, B: 4.0}) == set()
    assert light_flows({A: 64, B: 64}, {A: 4.0, B: 4.0}) == set()
    assert light_flows({A: 1, BULK: 1}, {A: 8.0, BULK: 8.0}) == {A}


class Simulation:
    """A device whose rows take ten units of time each, one at a time for each slot."""

    def __init__(self, slots: int, flows: dict[Flow, int]) -> None:
        self.queue, self.slots = WeightedFairQueue(), slots
        self.running: list[tuple[Flow, int]] = []
        self.served: Counter[Flow] = Counter()
        self.names = iter(range(10**6))
        self.flow_of: dict[str, Flow] = {}
        for flow, rows in flows.items():
            for _ in range(rows):
                self.submit(flow)

    def submit(self, flow: Flow) -> None:
        name = str(next(self.names))
        self.flow_of[name] = flow
        self.queue.enter(name, flow)

    def run(self, steps: int) -> None:
        """Every row that ends is followed by another of its flow."""
        for _ in range(steps):
            held = Counter(flow for flow, _ in self.running)
            shares = fair_shares(self.queue.rows, held, self.slots)
            for name in self.queue.order(held, shares, self.slots - len(self.running)):
                self.queue.start(name, self.flow_of[name])
                self.running.append((self.flow_of[name], 10))
            self.queue.charge(Counter(flow for flow, _ in self.running), 0.01)
            self.served.update(flow for flow, _ in self.running)
            for flow, left in self.running:
                if left == 1:
                    self.queue.end(flow)
                    self.submit(flow)
            self.running = [(flow, left - 1) for flow, left in self.running if left > 1]


@pytest.mark.parametrize("slots", [1, 2, 8])
@pytest.mark.parametrize("weights", [(1.0, 1.0), (3.0, 1.0), (1.0, 1.0, 2.0)], ids=str)
def test_flows_that_always_ask_for_more_are_served_in_proportion_to_their_weights(slots, weights) -> None:
    flows = {Flow(f"client {place}", weight): 20 * (place + 1) for place, weight in enumerate(weights)}
    device = Simulation(slots, flows)
    device.run(3000)
    total = sum(device.served.values())
    assert total == 3000 * slots  # work-conserving: no slot was ever empty
    for flow in flows:
        assert device.served[flow] / total == pytest.approx(flow.weight / sum(weights), rel=0.1)


def test_a_flow_alone_has_every_slot_and_the_one_that_comes_later_gets_no_arrears() -> None:
    device = Simulation(4, {A: 10})
    device.run(1000)
    assert device.served == {A: 4000}
    for _ in range(10):
        device.submit(B)
    device.run(1000)
    assert device.served[B] == pytest.approx(2000, rel=0.1)


def test_bulk_gets_what_little_is_its_due_beside_an_endless_interactive_flow() -> None:
    device = Simulation(2, {A: 10, BULK: 10})
    device.run(4000)
    assert 0.02 < device.served[BULK] / 8000 < 0.12


def test_newcomers_without_end_do_not_starve_a_flow_that_waits() -> None:
    device = Simulation(1, {A: 2})
    for number in range(20):
        device.submit(Flow(f"newcomer {number}"))
    device.run(1000)
    before = device.served[A]
    for number in range(20, 300):
        device.submit(Flow(f"newcomer {number}"))
        device.run(20)
    assert device.served[A] > before
