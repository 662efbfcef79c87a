"""Retries with backoff: which refusals are worth another try, how long to wait, and when to stop.

Knows no requests and keeps no clock: it is told the time. Any thread.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

PASSING = frozenset({408, 429, 502, 503})  # slow upload, full waiting queue, restart behind a proxy, restart
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 8.0


@dataclass(slots=True)
class RetryBudget:
    """The time in which one request is tried again: `for_s` seconds from its first refusal on."""

    for_s: float
    _tries: int = 0
    _began_s: float = 0.0

    def pause_s(self, now_s: float, asked_s: float = 0.0) -> float | None:
        """Return the seconds to wait before the next try, or None if that would be after its end.

        Args:
            now_s: monotonic.
            asked_s: what the server asked for; 0 if it did not say, and the pause then doubles with every try.

        Requests refused together must not come back together, so no two wait equally long.
        """
        if not self._tries:
            self._began_s = now_s
        own_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._tries, 16))
        self._tries += 1
        chance = random.random()  # noqa: S311 - no secrets here
        pause_s = asked_s + 0.25 * chance * max(asked_s, own_s) if asked_s else own_s * (1 + chance) / 2
        return pause_s if now_s + pause_s <= self._began_s + self.for_s else None


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Read a refusal's Retry-After, given in seconds or as a date; 0 if there is none.

    >>> retry_after_s({"retry-after": "3"}), retry_after_s({}), retry_after_s({"retry-after": "soon"})
    (3.0, 0.0, 0.0)
    """
    asked = headers.get("retry-after", "")
    if asked.isdecimal():
        return float(asked)
    try:
        return max(0.0, (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):  # no date, one without a zone, or none of any calendar
        return 0.0
