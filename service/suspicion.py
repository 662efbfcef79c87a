"""Whether a request is what its workers die of: when it is suspected, when it is cleared, when it is proven.

Pure bookkeeping about one request; knows no queue and no worker. Event loop's thread only.

Generation is deterministic, sampling included, so a request that kills its worker kills the next one at the same place
of its answer. One that gets past the place where its worker died was a bystander, however often workers die.
"""

from __future__ import annotations

from dataclasses import dataclass

PROOF = 2  # deaths in a row at one place
WATCHED = 3  # deaths from which on a request is suspected to its end, wherever they were: it may kill by chance
MOST = 5  # deaths, wherever they were


@dataclass(slots=True)
class Suspicion:
    """What is held against one request.

    Attributes:
        deaths: how many workers died while they worked on it.
    """

    deaths: int = 0
    _place: int = 0  # tokens of the answer at the latest death
    _in_a_row: int = 0  # deaths there

    def worker_died(self, tokens: int) -> None:
        """A worker died while it worked on the request, whose answer had so many tokens."""
        self._in_a_row = 1 if not self.deaths or self._is_past(tokens) else self._in_a_row + 1
        self._place = tokens
        self.deaths += 1

    def is_open(self, tokens: int) -> bool:
        """Whether the request must not be worked on together with another suspect, now that it has so many tokens."""
        return self.deaths >= WATCHED or (self.deaths > 0 and not self._is_past(tokens))

    @property
    def proven(self) -> bool:
        """Whether it is not to be given to another worker."""
        return self._in_a_row >= PROOF or self.deaths >= MOST

    def _is_past(self, tokens: int) -> bool:
        # One token more proves nothing: a replay's prefill gives it, and the worker may have died of decoding.
        return tokens > self._place + 1
