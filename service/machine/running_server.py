"""Probes of a server that runs: what it says of itself on /v1, /readyz and /metrics.

HTTP only. Any thread; each request has a time limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.metadata import version

import httpx

from service.batch.server import ServiceConnection, silence
from service.machine.finding import Finding
from service.schemas.responses import ServiceCard

ASK_S = 5.0
SHOWN = (
    "pheye_requests_waiting", "pheye_requests_running", "pheye_slots", "pheye_slots_used", "pheye_connections_open",
    "pheye_worker_restarts_total", "pheye_requests_dropped_total", "pheye_decoders_killed_total",
    "pheye_feature_cache_bytes", "process_resident_memory_bytes",
)  # fmt: skip
_SERIES = re.compile(r"^(?P<name>\w+)(?P<labels>\{[^}]*\})? (?P<value>\S+)$", re.MULTILINE)


def running(server: ServiceConnection) -> Sequence[Finding]:
    """Ask a server about itself."""
    with httpx.Client(**server.connection(ASK_S)) as client:
        try:
            card = client.get("/v1")
            return [*_card(server, card), *_readiness(server, client), *_metrics(client)]
        except httpx.RequestError as error:
            words = f"{server.url}: {silence(error)}; is the service running there?"
            return [Finding("server", (words,), (words,))]


def _card(server: ServiceConnection, answer: httpx.Response) -> Iterator[Finding]:
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        words = f"{server.url}: the API key is missing or wrong; give a file that holds it: --api-key-file"
        yield Finding("server", (words,), (words,))
        return
    try:
        card = ServiceCard.model_validate_json(answer.content)
    except ValueError:
        words = f"{server.url}: this is no Pheye service of this version (GET /v1 answered {answer.status_code})"
        yield Finding("server", (words,), (words,))
        return
    limits = card.limits
    here = version("pheye-service")
    other = "" if card.version == here else f" (here it is {here})"
    yield Finding(
        "server",
        (
            f"{server.url}: version {card.version}{other}, model {card.model or 'still loading'}; "
            f"{limits.questions} questions and {limits.body_bytes / 1e6:.0f} MB a request, {limits.deadline_s:g} s",
        ),
    )


def _readiness(server: ServiceConnection, client: httpx.Client) -> Iterator[Finding]:
    answer = client.get("/readyz")
    try:
        told = answer.json()
    except ValueError:
        told = {}
    if answer.status_code == httpx.codes.OK:
        fields = ", ".join(f"{name} {value}" for name, value in told.items() if name != "status")
        yield Finding("server ready", (fields or "yes",))
        return
    words = f"{answer.status_code}: {told.get('detail', 'no reason given')}"
    yield Finding("server ready", (words,), (f"{server.url} is not ready: {words}; its log tells more",))


def _metrics(client: httpx.Client) -> Iterator[Finding]:
    answer = client.get("/metrics")
    if answer.status_code != httpx.codes.OK:
        yield Finding("server metrics", (f"GET /metrics answered {answer.status_code}",))
        return
    found = [
        series
        for series in _SERIES.finditer(answer.text)
        if series["name"] in SHOWN and (not series["labels"] or float(series["value"]))
    ]
    shown = [f"{series['name']}{series['labels'] or ''} {float(series['value']):.6g}" for series in found]
    yield Finding("server metrics", (", ".join(shown) or "none of those that are shown here",))
