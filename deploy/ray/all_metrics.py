"""`/metrics` of all replicas of the edge in one answer, each series with the replica that counted it.

A scrape reaches any one of the replicas; the numbers of that one alone would jump from scrape to scrape. An ASGI
middleware; knows no Ray.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Metric
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics.registry import rendered

PATH, LABEL = "/metrics", "edge"
Families = Sequence[Metric]


class AllMetrics:
    """Puts the metrics of all replicas in the place of one's, wherever that one may be read.

    Args:
        app: the service of one replica, which checks the key.
        gather: asks every replica for its metrics; by replica.
    """

    def __init__(self, app: ASGIApp, gather: Callable[[], Awaitable[Mapping[str, Families]]]) -> None:
        self._app, self._gather = app, gather

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass requests on; replace the body of a good answer to `/metrics`."""
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        start: Message = {}

        async def send_all(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                start.update(message)
            elif not start:
                await send(message)
            elif not message.get("more_body"):
                content, _ = rendered(_Merged(await self._gather()), Headers(scope=scope).get("accept", ""))
                MutableHeaders(scope=start)["Content-Length"] = str(len(content))
                await send(start)
                await send({"type": "http.response.body", "body": content})

        await self._app(scope, receive, send_all)


class _Merged(CollectorRegistry):
    """The metrics of all replicas, read at one time."""

    def __init__(self, replicas: Mapping[str, Families]) -> None:
        super().__init__(auto_describe=False)
        self._replicas = replicas

    def collect(self) -> Iterable[Metric]:
        """Put families of one name together."""
        merged: dict[str, Metric] = {}
        for replica, families in sorted(self._replicas.items()):
            for family in families:
                one = merged.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type, family.unit)
                )
                one.samples += [each._replace(labels={**each.labels, LABEL: replica}) for each in family.samples]
        return merged.values()
