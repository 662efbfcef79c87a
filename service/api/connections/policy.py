"""Time limits of connections, and who goes first when there are too many: pure functions.

Knows no sockets and no clock of its own: a connection is its `Facts`, which its protocol keeps up to date.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

LEFTOVER_S = 5.0  # for the rest of a body whose request has been answered
LINGER_S = 2.0  # for a refused client to read why
STALL_S = 30.0  # a peer must take MIN_TAKEN_BYTES_S on average over so long while bytes wait for it
MIN_TAKEN_BYTES_S = 256
QUIET_S = 0.25  # a request of which nothing came for so long gives way first when there are too many connections

# head: no complete request head yet, from accept or from the first byte of a later request. idle: kept alive, nothing
# of a next request here. body: the request's body is still coming. busy: the whole request is here, its answer is not
# complete. leftover: answered, and its body still comes. refused: told why, about to be closed. closing: being closed,
# while its last bytes are sent.
Phase = Literal["head", "idle", "body", "busy", "leftover", "refused", "closing"]
Reason = Literal["head", "idle", "leftover", "refused", "stalled"]


@dataclass(slots=True, eq=False)
class Facts:
    """The facts about a connection; times are on the monotonic clock.

    Attributes:
        since_s: when it came into its phase.
        heard_s: when the peer sent something last, or was accepted.
        address: the peer's, as fairness counts it.
        proxy: whether the peer is a trusted proxy, whose connections carry many clients.
        waiting_since_s: since when bytes wait for the peer at too low a rate; None if none wait.
        taken_bytes: what the peer had taken then.
    """

    since_s: float
    heard_s: float = 0.0
    address: str = ""
    proxy: bool = False
    phase: Phase = "head"
    waiting_since_s: float | None = None
    taken_bytes: int = 0

    def enter(self, phase: Phase, now_s: float) -> None:
        """Note the phase; staying in one does not begin it anew."""
        if phase != self.phase:
            self.phase, self.since_s = phase, now_s

    def note_unsent(self, made_bytes: int, unsent_bytes: int, now_s: float) -> None:
        """Note how many bytes were made for the peer, and how many of them it has not taken."""
        taken = made_bytes - unsent_bytes
        if unsent_bytes == 0:
            self.waiting_since_s = None
        elif self.waiting_since_s is None or taken - self.taken_bytes >= STALL_S * MIN_TAKEN_BYTES_S:
            self.waiting_since_s, self.taken_bytes = now_s, taken


def overdue(facts: Facts, now_s: float, head_s: float, idle_s: float) -> Reason | None:
    """Say why a connection must be closed now, if it must.

    >>> overdue(Facts(since_s=0.0), now_s=11.0, head_s=10.0, idle_s=75.0)
    'head'
    """
    if facts.waiting_since_s is not None and now_s - facts.waiting_since_s > STALL_S:
        return "stalled"
    spent_s = now_s - facts.since_s
    match facts.phase:
        case "head":
            return "head" if spent_s > head_s else None
        case "idle":
            return "idle" if spent_s > idle_s else None
        case "leftover":
            return "leftover" if spent_s > LEFTOVER_S else None
        case "refused":
            return "refused" if spent_s > LINGER_S else None
        case _:
            return None


def first_to_go(connections: Iterable[Facts], wanted: int, now_s: float) -> Sequence[Facts]:
    """Choose connections to close, so that others can be accepted: none whose request is complete.

    Those without a complete request head go first, then kept-alive ones, then those whose body has stopped coming, then
    any whose request is still coming; of each kind the oldest of the address that has the most connections. Trusted
    proxies' go last, and not while a request comes: each carries many clients.
    """
    every = list(connections)
    counts = Counter(facts.address for facts in every)
    chosen: list[Facts] = []
    for proxy in (False, True):
        own = [facts for facts in every if facts.proxy is proxy]
        begun = [facts for facts in own if facts.phase in ("head", "body")]
        for group in (
            [facts for facts in begun if facts.phase == "head" and now_s - facts.since_s > QUIET_S]
            + [facts for facts in own if facts.phase in ("refused", "leftover")],
            [facts for facts in own if facts.phase == "idle"],
            [facts for facts in begun if facts.phase == "body" and now_s - facts.heard_s > QUIET_S],
            [facts for facts in begun if not proxy and now_s - facts.heard_s <= QUIET_S],
        ):
            chosen += _oldest_of_the_greediest(group, wanted - len(chosen), counts)
    return chosen


def _oldest_of_the_greediest(group: Sequence[Facts], wanted: int, counts: Counter[str]) -> list[Facts]:
    """Choose up to `wanted` of a group, and take them off the counts."""
    lines: dict[str, deque[Facts]] = {}
    for facts in sorted(group, key=lambda facts: facts.since_s if facts.phase == "head" else facts.heard_s):
        lines.setdefault(facts.address, deque()).append(facts)
    chosen: list[Facts] = []
    while lines and len(chosen) < wanted:
        address = max(lines, key=counts.__getitem__)
        chosen.append(lines[address].popleft())
        counts[address] -= 1
        if not lines[address]:
            del lines[address]
    return chosen
