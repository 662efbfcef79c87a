"""The fair queue: waiting rows by flow, and the virtual time that orders them.

Owns what `service.worker.scheduling.fairness` has to be told of the past. Knows no clock: it is told what things took.
Engine's thread only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import chain, islice

from service.configuration.client_policy import Priority
from service.messages.rows import Flow
from service.moving_average import moving_average
from service.worker.scheduling.fairness import PRIORITY_WEIGHT, VirtualTime, fair_order

SMOOTHING = 0.1  # weight of the newest row in the device time that a row takes


class WeightedFairQueue:
    """The waiting rows by flow, and the virtual time of the flows that have any row, waiting or running.

    A flow that had nothing waiting starts at the virtual time of its priority, which goes on with all that is done for
    it: time in which a flow asked for nothing gives it no claim, and newcomers do not starve those who wait. Engine's
    thread only.
    """

    def __init__(self) -> None:
        self._waiting: dict[Flow, dict[str, int]] = {}
        self._ahead: dict[str, Flow] = {}
        self._rows: Counter[Flow] = Counter()  # waiting and running
        self._used: dict[Flow, float] = {}
        self._now: dict[Priority, float] = dict.fromkeys(PRIORITY_WEIGHT, 0.0)
        self._of_priority: dict[Priority, float] = dict.fromkeys(PRIORITY_WEIGHT, 0.0)
        self._arrivals = 0
        self._row_s = 0.0  # running average of the device time of a row
        self._spent_s = 0.0  # since the latest row that ended

    @property
    def rows(self) -> Mapping[Flow, int]:
        """The rows of each flow that has any, waiting and running."""
        return self._rows

    @property
    def used(self) -> VirtualTime:
        """The virtual time of flows and priorities."""
        return VirtualTime(self._used, self._of_priority)

    def enter(self, row_id: str, flow: Flow, *, ahead: bool = False) -> None:
        """Add a new row; with `ahead` it goes before all others."""
        if not any(each.priority == flow.priority for each in self._rows):
            others = (self._of_priority[each.priority] for each in self._rows)
            self._of_priority[flow.priority] = max(self._of_priority[flow.priority], *others, 0.0)
        if flow not in self._waiting:
            self._used[flow] = max(self._used.get(flow, 0.0), self._now[flow.priority])
        self._rows[flow] += 1
        self._arrivals += 1
        if ahead:
            self._ahead[row_id] = flow
        else:
            self._waiting.setdefault(flow, {})[row_id] = self._arrivals

    def start(self, row_id: str, flow: Flow) -> None:
        """Take out a waiting row, which gets a slot or is over."""
        if self._ahead.pop(row_id, None) is None:
            del self._waiting[flow][row_id]
            if not self._waiting[flow]:
                del self._waiting[flow]

    def resume(self, row_id: str, flow: Flow) -> None:
        """Put back a row that was preempted, as the first of its flow."""
        rest = self._waiting.get(flow, {})
        self._waiting[flow] = {row_id: min(rest.values(), default=self._arrivals), **rest}

    def end(self, flow: Flow) -> None:
        """Count a row that is over, and that waits no more."""
        self._row_s, self._spent_s = moving_average(self._row_s, self._spent_s, SMOOTHING), 0.0
        self._rows[flow] -= 1
        if not self._rows[flow]:
            del self._rows[flow]
            del self._used[flow]

    def charge(self, flows: Mapping[Flow, int], seconds: float) -> None:
        """Charge device time to the flows it was spent for, so many parts to each."""
        part_s = seconds / sum(flows.values())
        self._spent_s += seconds
        for flow, parts in flows.items():
            cost_s = part_s * parts
            self._of_priority[flow.priority] += cost_s / PRIORITY_WEIGHT[flow.priority]
            self._now[flow.priority] += cost_s / self._weight(flow.priority)
            if flow in self._used:  # else its last row is over
                self._used[flow] += cost_s / flow.weight

    def _weight(self, priority: Priority) -> float:
        return sum(flow.weight for flow in self._rows if flow.priority == priority) or 1.0

    def order(self, running: Mapping[Flow, int], shares: Mapping[Flow, float], limit: int) -> list[str]:
        """Order the waiting rows, as `fair_order` says; those sent ahead come first."""
        fair = fair_order(self._waiting, running, shares, self.used, self._row_s, limit) if self._waiting else []
        return list(islice(chain(self._ahead, fair), limit))
