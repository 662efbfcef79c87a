"""Each client's share of the decoders, so that slow images of one client do not hold up all others.

A decoder cannot be taken back without losing its work, so one is kept from a client that would take the last one while
others are about. Knows no decoders and no images. Event loop's thread only.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

PRESENT_S = 30.0  # a client that asked within this time may come back at any moment


class DecoderShares:
    """Shares of the decoders: what each client has, and whether it may have one more.

    A client alone may have all. While another one is about, the last decoder is kept from whoever has one already.

    Args:
        decoders: how many there are.
        clock: seconds; only their differences matter.

    >>> shares = DecoderShares(decoders=2, clock=lambda: 0.0)
    >>> for client in ("greedy", "modest"):
    ...     shares.ask(client)
    >>> shares.take("greedy")
    >>> shares.may_take("greedy"), shares.may_take("modest")
    (False, True)
    """

    def __init__(self, decoders: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._decoders = decoders
        self._clock = clock
        self._held: Counter[str] = Counter()
        self._asked_s: dict[str, float] = {}  # in the order of asking, latest last

    def ask(self, client: str) -> None:
        """Note that a client has an image to decode."""
        now_s = self._clock()
        self._asked_s.pop(client, None)
        self._asked_s[client] = now_s
        while now_s - self._asked_s[oldest := next(iter(self._asked_s))] > PRESENT_S:
            del self._asked_s[oldest]

    def may_take(self, client: str) -> bool:
        """Say whether a client may have a decoder that is free; its first one it always may."""
        return self._held[client] < (self._decoders - self._others_are_about(client)) or not self._held[client]

    def take(self, client: str) -> None:
        """Note that a client has one more decoder."""
        self._held[client] += 1

    def give_back(self, client: str) -> None:
        """Note that a client has one decoder less."""
        self._held[client] -= 1
        if not self._held[client]:
            del self._held[client]

    def _others_are_about(self, client: str) -> bool:
        for name, asked_s in reversed(self._asked_s.items()):
            if name != client:
                return self._clock() - asked_s <= PRESENT_S
        return False
