"""Probes of a server that runs: what it says of itself on /v1, /readyz and /metrics.

HTTP only. Any thread; each request has a time limit. The server may be anything: of its answers as much is read as fits
one's own, and what is shown of them is plain and short.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.metadata import version

import httpx

from service.batch.answerers.bounded_http import ask, json_object
from service.batch.answerers.server import ServiceConnection, silence
from service.configuration.plain_words import plain_value
from service.machine.finding import Finding
from service.schemas.service_card import ReadyCard, ServiceCard

ASK_S = 5.0
MOST_SERIES = 40
SHOWN = (
    "pheye_requests_waiting", "pheye_requests_running", "pheye_slots", "pheye_slots_used", "pheye_connections_open",
    "pheye_worker_restarts_total", "pheye_requests_dropped_total", "pheye_decoders_killed_total",
    "pheye_feature_cache_bytes", "process_resident_memory_bytes",
)  # fmt: skip
_SERIES = re.compile(r"^(?P<name>\w+)(?P<labels>\{[^}\n]*\})? (?P<value>\S+)$", re.MULTILINE | re.ASCII)


def running(server: ServiceConnection) -> Sequence[Finding]:
    """Ask a server about itself."""
    try:
        return [*_card(server), *_readiness(server), *_metrics(server)]
    except httpx.RequestError as error:
        return [_wrong("server", f"{server.url}: {silence(error)}; is the service running there?")]
    except Exception as error:  # whatever a stranger's answer sets off
        return [_wrong("server", f"{server.url}: its answers cannot be understood ({type(error).__name__})")]


def _wrong(topic: str, words: str) -> Finding:
    return Finding(topic, (words,), (words,))


def _get(server: ServiceConnection, path: str) -> httpx.Response:
    return ask(server.connection(ASK_S), path, ASK_S)


def _card(server: ServiceConnection) -> Iterator[Finding]:
    answer = _get(server, "/v1")
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        words = f"{server.url}: the API key is missing or wrong; give a file that holds it: --api-key-file"
        yield _wrong("server", words)
        return
    try:
        card = ServiceCard.model_validate_json(answer.content)
    except ValueError:
        words = f"{server.url}: this is no Pheye service of this version (GET /v1 answered {answer.status_code})"
        yield _wrong("server", words)
        return
    limits = card.limits
    here = version("pheye-service")
    other = "" if card.version == here else f" (here it is {here})"
    model = "still loading" if card.model is None else plain_value(card.model)
    bounds = f"{limits.questions} questions and {limits.body_bytes / 1e6:.0f} MB a request, {limits.deadline_s:g} s"
    yield Finding(
        "server",
        (f"{server.url}: version {plain_value(card.version)}{other}, model {model}; {plain_value(bounds)}",),
    )


def _readiness(server: ServiceConnection) -> Iterator[Finding]:
    answer = _get(server, "/readyz")
    told = json_object(answer)
    if answer.status_code != httpx.codes.OK:
        words = f"{answer.status_code}: {plain_value(told.get('detail', 'no reason given'))}"
        yield Finding("server ready", (words,), (f"{server.url} is not ready: {words}; its log tells more",))
    elif told.get("status") != "ready":
        yield _wrong("server ready", f"{server.url}: GET /readyz answered 200, and not with the status of a service")
    else:
        fields = [name for name in ReadyCard.model_fields if name != "status" and name in told]
        yield Finding("server ready", (", ".join(f"{name} {plain_value(told[name])}" for name in fields) or "yes",))


def _metrics(server: ServiceConnection) -> Iterator[Finding]:
    answer = _get(server, "/metrics")
    if answer.status_code != httpx.codes.OK:
        yield Finding("server metrics", (f"GET /metrics answered {answer.status_code}",))
        return
    found = [_series(series) for series in _SERIES.finditer(answer.content.decode("utf-8", "replace"))]
    shown = [series for series in found if series]
    more = [f"and {len(shown) - MOST_SERIES} more"] if len(shown) > MOST_SERIES else []
    told = ", ".join([*shown[:MOST_SERIES], *more])
    yield Finding("server metrics", (told or "none of those that are shown here",))


def _series(series: re.Match[str]) -> str:
    """Write a series that is shown, or nothing: counts with labels only if they are not 0."""
    try:
        value = float(series["value"])
    except ValueError:
        return ""
    if series["name"] not in SHOWN or (series["labels"] and not value and series["name"].endswith("_total")):
        return ""
    return f"{series['name']}{plain_value(series['labels'] or '')} {value:.6g}"
