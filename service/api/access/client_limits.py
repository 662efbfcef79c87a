"""Limits of each client: how many requests at a time, and how many in a time (rate limit).

Owns the counts, in this process's memory. Knows neither keys nor routes: it is told who asks, and what that client is
entitled to. Event loop.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from starlette.routing import BaseRoute

from service.configuration.client_policy import ClientPolicy
from service.errors import RateLimited, TooManyConcurrent
from service.moving_average import moving_average

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.strategies import MovingWindowRateLimiter

LONGEST_WAIT_S = 60
REFUSAL_DELAY_S = 0.25
MOST_REFUSED = 10_000  # clients whose latest refusal is remembered
SMOOTHING = 0.2  # weight of the newest request in the time that a client's requests take
# The `openapi_extra` of a route that sends requests in its client's name: it is counted, and not those; and it says
# itself, in the words of its protocol, that its client is over a limit.
FORWARDING: dict[str, Any] = {"x-forwarding": True}


def is_forwarding(route: BaseRoute | None) -> bool:
    """Say whether a route sends requests in its client's name."""
    return bool((getattr(route, "openapi_extra", None) or {}).get("x-forwarding"))


class RefusalDelay:
    """Slows down clients that come back before they were told to: their next refusal takes a moment.

    Without it, a client that tries again at once would keep this process busy with refusing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._not_before: dict[str, float] = {}  # when each refused client should come back, latest refusal last

    def delay_s(self, client: str, retry_after_s: float) -> float:
        """Note a refusal, and return for how long its answer should wait."""
        now_s = self._clock()
        early = now_s < self._not_before.pop(client, 0.0)
        self._not_before[client] = now_s + retry_after_s
        while len(self._not_before) > MOST_REFUSED:
            del self._not_before[next(iter(self._not_before))]
        return REFUSAL_DELAY_S if early else 0.0


class ClientLimits:
    """The requests of each client: those under way, and those of the recent past if there is a rate limit."""

    def __init__(self) -> None:
        self._under_way: Counter[str] = Counter()
        self._took_s: dict[str, float] = {}  # running averages, of clients with requests under way
        self._limiter: MovingWindowRateLimiter | None = None  # its storage has a thread, so not before it is needed

    @contextmanager
    def counted(self, client: str, policy: ClientPolicy) -> Iterator[None]:
        """Count a request from here to the end of its answer.

        Raises:
            TooManyConcurrent: the client has as many under way as it may have.
            RateLimited: it has sent as many as it may send for now.
        """
        most = policy.max_concurrent
        if most and self._under_way[client] >= most:
            wait_s = self._wait_s(client)
            raise TooManyConcurrent(
                f"{most} of your requests are under way, which is your limit; try again in about {wait_s} s",
                retry_after_s=wait_s,
            )
        if policy.rate:
            self._check_rate(client, policy.rate)
        self._under_way[client] += 1
        begun_s = time.monotonic()
        try:
            yield
        finally:
            self._under_way[client] -= 1
            average_s = moving_average(self._took_s.get(client, 0.0), time.monotonic() - begun_s, SMOOTHING)
            self._took_s[client] = average_s
            if not self._under_way[client]:
                del self._under_way[client], self._took_s[client]

    def _wait_s(self, client: str) -> int:
        """Estimate when one of the requests under way will end, from how long the others took."""
        return min(LONGEST_WAIT_S, max(1, math.ceil(self._took_s.get(client, 0.0) / self._under_way[client])))

    def _check_rate(self, client: str, rates: tuple[RateLimitItem, ...]) -> None:
        limiter = self._limiter = self._limiter or _new_limiter()
        exceeded = [rate for rate in rates if not limiter.test(rate, client)]
        if not exceeded:
            for rate in rates:
                limiter.hit(rate, client)
            return
        until_s = max(limiter.get_window_stats(rate, client).reset_time for rate in exceeded)
        wait_s = max(1, math.ceil(until_s - time.time()))
        raise RateLimited(
            f"your limit is {'; '.join(map(str, exceeded))}; try again in {wait_s} s", retry_after_s=wait_s
        )


def _new_limiter() -> MovingWindowRateLimiter:
    from limits.storage import MemoryStorage  # there already where a rate was read
    from limits.strategies import MovingWindowRateLimiter

    return MovingWindowRateLimiter(MemoryStorage())
