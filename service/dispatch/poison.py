"""Quarantine of poison requests: which requests kill their workers, when they run alone, when they are refused.

Pure bookkeeping about one request; knows no queue and no worker. Event loop's thread only.

Generation is deterministic, sampling included, so a request that kills its worker kills the next one at the same place
of its answer. One that gets past the place where its worker died was a bystander, however often workers die. (What
kills by chance, at ever new places, is stopped by its deadline.)
"""

from __future__ import annotations

from dataclasses import dataclass

# Deaths in a row at one place, the last of them in quarantine: the others may be chance, or a neighbour's work.
PROOF = 3


@dataclass(slots=True)
class PoisonTracker:
    """A count of the workers that died of one request, as far as can be told.

    Attributes:
        deaths: workers that died, one after the other, while its answer was at the same place.
    """

    deaths: int = 0
    _place: int = 0  # tokens of the answer at the latest death

    def worker_died(self, tokens: int) -> None:
        """Count a worker that died while it worked on the request, whose answer had so many tokens."""
        self.deaths = 1 if self._is_past(tokens) else self.deaths + 1
        self._place = tokens

    def quarantined(self, tokens: int) -> bool:
        """Say whether the request must run alone: one death more would be proof, now that it has so many tokens."""
        return self.deaths == PROOF - 1 and not self._is_past(tokens)

    @property
    def proven(self) -> bool:
        """True if the request must not be given to another worker."""
        return self.deaths >= PROOF

    def _is_past(self, tokens: int) -> bool:
        # One token more does not clear a request: a replay's prefill gives it; the worker may have died of decoding.
        return tokens > self._place + 1
