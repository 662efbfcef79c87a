"""The open connections: their bound, the periodic look at their time limits, and the announcement that they close.

Owns who is let in and who has to go; what happens on one connection is its protocol's. Event loop.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from service.api.connections.descriptors import PROBES, ConnectionPlan
from service.api.connections.policy import Facts, first_to_go, overdue
from service.api.connections.tls import ServerTls
from service.api.edge.cors import CorsPolicy
from service.api.edge.forwarded import TrustedProxies
from service.configuration.settings import Settings
from service.metrics.service_metrics import Metrics

EVICTED_TOGETHER = 16  # looking through all connections is then paid by as many new ones
FRESH_S = 1.0  # a connection so young is taken for one whose request is on its way
LOG_EVERY_S = 10.0

logger = logging.getLogger("pheye.connections")


class Connection(Protocol):
    """The part of a connection that the registry needs to know."""

    facts: Facts

    def observe(self, now_s: float) -> None:
        """Bring the facts about unsent bytes up to date."""

    def give_up(self, reason: str) -> None:
        """Close, with a word to the peer if it can still hear it."""

    def abort(self) -> None:
        """Close the connection without sending what is left."""

    def close_after_answer(self) -> None:
        """Say `Connection: close` with the next answer."""

    def probes_only(self) -> None:
        """Answer nothing but the probes and the metrics."""


class OpenConnections:
    """All open connections of the process.

    Attributes:
        head_s: seconds that a request head may take.
        idle_s: seconds that a connection may rest between requests.
        root_path: the path prefix under which a proxy publishes the service.
        cors: which web pages may read a refusal.
        tls: the certificate, if the service does TLS itself.
        closing: whether every answer says `Connection: close`.
    """

    def __init__(self, settings: Settings, plan: ConnectionPlan, metrics: Metrics) -> None:
        """Open the registry, empty."""
        self.head_s, self.idle_s = settings.head_timeout_s, settings.idle_timeout_s
        self.root_path, self.cors = settings.root_path, CorsPolicy(settings.cors_origins)
        self.tls = ServerTls(settings) if settings.tls_cert_file else None
        self.closing = False
        self._most = plan.most
        self._proxies = TrustedProxies(settings.trusted_proxies)
        self._open: dict[Facts, Connection] = {}
        self._metrics = metrics
        self._untold: Counter[str] = Counter()
        self._told_s = -LOG_EVERY_S
        metrics.connections_open.set_function(lambda: len(self._open))

    @property
    def busy(self) -> bool:
        """True while any request is on its way in, may be so, or is not completely answered."""
        fresh_s = time.monotonic() - FRESH_S
        return any(
            facts.phase in ("body", "busy") or (facts.phase == "head" and facts.since_s > fresh_s)
            for facts in self._open
        )

    def __len__(self) -> int:
        return len(self._open)

    def is_proxy(self, host: str) -> bool:
        """Say whether an address is a trusted proxy's."""
        return host in self._proxies

    def admit(self, connection: Connection) -> None:
        """Take a new connection; at the bound others have to go, or it may ask little, or it has to go itself."""
        now_s, before = time.monotonic(), len(self._open)
        if before >= self._most:
            for facts in first_to_go(self._open, before - self._most + EVICTED_TOGETHER, now_s):
                self.count("evicted")
                self._open[facts].give_up("evicted")
                if facts.phase == "closing":
                    self._open.pop(facts)  # now, and not when the event loop has closed it: others are waiting
        self._open[connection.facts] = connection
        if len(self._open) > self._most + PROBES:
            self.count("full")
            connection.abort()
        elif len(self._open) > self._most:
            connection.probes_only()
        if self.closing:
            connection.close_after_answer()

    def forget(self, connection: Connection) -> None:
        """Let go of a connection that is closed."""
        self._open.pop(connection.facts, None)

    def sweep(self) -> None:
        """Close what has had its time, and say in one line what was closed since the last one."""
        now_s = time.monotonic()
        for facts, connection in list(self._open.items()):
            connection.observe(now_s)
            reason = overdue(facts, now_s, self.head_s, self.idle_s)
            if reason is not None:
                if reason not in ("refused", "idle"):
                    self.count(reason)
                connection.give_up(reason)
        if self._untold and now_s - self._told_s >= LOG_EVERY_S:
            self._told_s = now_s
            logger.warning("connections closed: %s; %d of %d are open", tell(self._untold), len(self._open), self._most)
            self._untold.clear()

    def count(self, reason: str) -> None:
        """Count a connection that this side closed for a reason."""
        self._untold[reason] += 1
        self._metrics.connections_closed.labels(reason).inc()

    def announce_close(self) -> None:
        """Let every connection end with its next answer, those to come too."""
        self.closing = True
        for connection in self._open.values():
            connection.close_after_answer()

    def abort_all(self) -> None:
        """Close every connection at once."""
        for connection in list(self._open.values()):
            connection.abort()


def tell(counts: Mapping[str, int]) -> str:
    """Name counts for the log.

    >>> tell({"evicted": 3, "head": 1})
    '3 evicted, 1 head'
    """
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
