"""Weighted fair queueing of waiting rows, and preemption: who gets the next slot, and who gives one up. Pure functions.

Rows belong to flows (`service.messages.rows.Flow`). Two rules:

- **Order.** The next slot goes to the flow that is below its fair share of slots, and among equals to the one that has
  had the least device time for its weight (virtual time, as in the virtual token counter of Sheng et al., "Fairness in
  Serving Large Language Models"). Who is alone may have every slot: nothing is kept free.
- **Preemption.** If no slot is free, a flow below its fair share takes one from the flow that is furthest over its own.
  Who is below and who is over is said by the slots they hold, so no two flows take a slot from each other in turn.

Interactive rows take any slot that bulk rows hold. Bulk is not starved: free slots go to the two priorities in
proportion to `PRIORITY_WEIGHT`, and a row that got a slot keeps it for `QUANTUM_TOKENS` at least.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from service.configuration.client_policy import Priority
from service.messages.rows import Flow

PRIORITY_WEIGHT: Mapping[Priority, float] = {"interactive": 16.0, "bulk": 1.0}
# A row keeps its slot for so many tokens: reading its prompt again when it comes back costs one or two decode steps.
QUANTUM_TOKENS = 8

Waiting = Mapping[Flow, Mapping[str, int]]  # ids of the waiting rows in order, and when each came, as a number


@dataclass(frozen=True, slots=True)
class SlotHolder:
    """A running row, as far as preemption is concerned.

    Attributes:
        slot: which it holds.
        flow: whom it counts for.
        tokens: of its answer so far.
        slot_tokens: how many of them since it got the slot.
    """

    slot: int
    flow: Flow
    tokens: int
    slot_tokens: int


@dataclass(frozen=True, slots=True)
class VirtualTime:
    """Device seconds had so far, divided by weight: of each active flow, and of each priority."""

    flows: Mapping[Flow, float]
    priorities: Mapping[Priority, float]


def fair_shares(active: Iterable[Flow], running: Mapping[Flow, int], slots: int) -> dict[Flow, float]:
    """Divide the slots among flows by weight: all of them among interactive ones, the rest of them among bulk ones."""
    flows = list(active)
    weights: Counter[Priority] = Counter()
    for flow in flows:
        weights[flow.priority] += flow.weight  # type: ignore[assignment]
    interactive = sum(rows for flow, rows in running.items() if flow.priority == "interactive")
    room: dict[Priority, int] = {"interactive": slots, "bulk": slots - interactive}
    return {flow: room[flow.priority] * flow.weight / weights[flow.priority] for flow in flows}


def light_flows(rows: Mapping[Flow, int], shares: Mapping[Flow, float]) -> set[Flow]:
    """Return the flows that ask for no more than their fair share, if there are others that do.

    What a step does for the others must not hold up their rows for long.

    Args:
        rows: all rows of each flow, waiting and running.
        shares: of the slots, as `fair_shares` says.
    """
    interactive = any(flow.priority == "interactive" for flow in rows)
    light = {
        flow
        for flow, count in rows.items()
        if count <= shares[flow] and (flow.priority == "interactive" or not interactive)
    }
    return light if len(light) < len(rows) else set()


def fair_order(
    waiting: Waiting,
    running: Mapping[Flow, int],
    shares: Mapping[Flow, float],
    used: VirtualTime,
    row_s: float,
    limit: int,
) -> list[str]:
    """Order the waiting rows as they should get slots, each flow's own in the order they came.

    Args:
        waiting: the rows of each flow; no flow without any.
        running: slots that each flow holds.
        shares: of the slots, as `fair_shares` says.
        used: virtual time of flows and priorities.
        row_s: device seconds that a row takes on average; every row placed counts for so much.
        limit: rows to order, at most.

    Returns:
        Ids, the first `limit` of the order.
    """
    if len(waiting) == 1:
        return list(islice(next(iter(waiting.values())), limit))
    heads, of_priority = _Heads(waiting, running, shares, used.flows), dict(used.priorities)
    ordered: list[str] = []
    while len(ordered) < limit and (priorities := heads.priorities()):
        priority = min(priorities, key=lambda each: of_priority[each])
        ordered.append(heads.place_next(priority, row_s))
        of_priority[priority] += row_s / PRIORITY_WEIGHT[priority]
    return ordered


class _Heads:
    """The first row of each flow that is not placed yet: flows below their share come first, then by virtual time."""

    def __init__(
        self, waiting: Waiting, running: Mapping[Flow, int], shares: Mapping[Flow, float], had: Mapping[Flow, float]
    ) -> None:
        self._left = {flow: iter(rows.items()) for flow, rows in waiting.items()}
        self._placed, self._shares, self._had = Counter(running), shares, dict(had)
        self._heaps: dict[Priority, list[tuple[bool, float, int, str, Flow]]] = {each: [] for each in PRIORITY_WEIGHT}
        for flow in waiting:
            self._push(flow)

    def priorities(self) -> list[Priority]:
        """Return the priorities of which a row is left."""
        return [priority for priority, heap in self._heaps.items() if heap]

    def place_next(self, priority: Priority, row_s: float) -> str:
        """Take the first row of a priority, and count it as if it had its slot and so much device time."""
        *_, row_id, flow = heapq.heappop(self._heaps[priority])
        self._placed[flow] += 1
        self._had[flow] += row_s / flow.weight
        self._push(flow)
        return row_id

    def _push(self, flow: Flow) -> None:
        head = next(self._left[flow], None)
        if head is not None:
            row_id, arrival = head
            below = self._placed[flow] + 1 <= self._shares[flow]
            heapq.heappush(self._heaps[flow.priority], (not below, self._had[flow], arrival, row_id, flow))


def to_preempt(taker: Flow, holders: Iterable[SlotHolder], shares: Mapping[Flow, float]) -> SlotHolder | None:
    """Choose the running row that gives up its slot to a flow, or None if the flow has no right to any.

    Bulk rows go before interactive ones, then those of the flow that is furthest over its share, then the row with the
    fewest tokens, which has the least to read again.

    Args:
        taker: the flow of a ready row for which no slot is free.
        holders: every running row, the takers of this step included, so that a flow's slots are counted right.
        shares: of the slots, as `fair_shares` says.
    """
    rows = list(holders)
    held = Counter(row.flow for row in rows)
    if held[taker] + 1 > shares[taker]:
        return None

    def over(flow: Flow) -> float:
        return (held[flow] - shares.get(flow, 0.0)) / flow.weight

    def yields(row: SlotHolder) -> bool:
        if row.slot_tokens < QUANTUM_TOKENS or row.flow == taker:
            return False
        if row.flow.priority != taker.priority:
            return row.flow.priority == "bulk"
        return over(row.flow) > 0.0

    candidates = [row for row in rows if yields(row)]
    if not candidates:
        return None
    return max(candidates, key=lambda row: (row.flow.priority == "bulk", over(row.flow), -row.tokens))
