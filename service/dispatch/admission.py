"""Admission control shared fairly between clients: who may wait, and when one who may not should come back.

Pure functions: no clock, no queue. `service.dispatch.queue` tells them who waits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from service.messages.rows import Flow

LONGEST_WAIT_S = 60


@dataclass(frozen=True, slots=True)
class WaitingRoom:
    """The waiting queue as admission control sees it.

    Attributes:
        places: answers that may wait before new ones are refused.
        waiting: answers that wait, of each flow that has any answer under way, running ones included.
    """

    places: int
    waiting: Mapping[Flow, int]

    @property
    def taken(self) -> int:
        """The answers that wait."""
        return sum(self.waiting.values())

    def admits(self, flow: Flow, rows: int) -> bool:
        """Say whether a flow's rows may wait.

        While there are places anybody may take them, a lone client all. When there are none, a client below its own
        fair share is admitted all the same, until twice as many wait as there are places.
        """
        after = self.taken + rows
        if after <= self.places:
            return True
        return self.own(flow) + rows <= self.share(flow) and after <= 2 * self.places

    def share(self, flow: Flow) -> float:
        """Return a client's fair share of the places: by weight, among the clients with answers under way and it."""
        weights = {each.client: each.weight for each in self.waiting} | {flow.client: flow.weight}
        return self.places * flow.weight / sum(weights.values())

    def own(self, flow: Flow) -> int:
        """Count what waits of a client; its bulk rows do not stand in the way of its interactive ones."""
        return sum(
            rows
            for each, rows in self.waiting.items()
            if each.client == flow.client and (flow.priority == "bulk" or each.priority == "interactive")
        )

    def retry_after_s(self, flow: Flow, rows: int, row_s: float, slots: int) -> int:
        """Estimate after how many seconds a flow that was refused would be admitted.

        Args:
            flow: whose rows were refused.
            rows: how many.
            row_s: for which an answer holds a slot on average; 0.0 if that is not known.
            slots: answers that are generated at the same time.
        """
        drain_s, share = row_s / max(slots, 1), self.share(flow)
        wait_s = max(0, self.taken + rows - self.places) * drain_s  # until there are places for everybody
        if rows <= share:  # else only a place of the room can help
            own_s = (self.own(flow) + rows - share) * drain_s * self.places / share  # its share of the slots drains it
            bound_s = (self.taken + rows - 2 * self.places) * drain_s
            wait_s = min(wait_s, max(own_s, bound_s, 0.0))
        return min(LONGEST_WAIT_S, 1 + math.ceil(wait_s))
