"""The standard variables of OpenTelemetry that switch traces on: `OTEL_EXPORTER_OTLP_ENDPOINT` and its companions.

Owns whether traces are recorded. They are the world's variables, and a platform may set them for everybody: what cannot
be done with them is said in the log, and the service goes on without traces. Imports the SDK only where it is needed.
Main thread, once at start-up.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from service.metrics.service_metrics import Metrics

if TYPE_CHECKING:
    from service.api.traces.tracing import RequestTracing

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
EXPORTER = "OTEL_TRACES_EXPORTER"
SAMPLER, DEFAULT_SAMPLER = "OTEL_TRACES_SAMPLER", "parentbased_always_on"
DISABLED = "OTEL_SDK_DISABLED"
SPOKEN = "http/protobuf"
DEFAULT_ENDPOINT = "http://localhost:4318"  # the specification's
INSTALL = 'install it with: pip install "pheye-service[otel]"'

logger = logging.getLogger("pheye.traces")


class TracesUnavailable(ValueError):
    """Traces are asked for and cannot be sent; the message says which variable, and what to do."""


def tracing_from(environ: Mapping[str, str], metrics: Metrics) -> RequestTracing | None:
    """Begin to record traces if the environment asks for it; None if it does not, or in vain."""
    try:
        endpoint = asked_endpoint(environ)
        if endpoint is None:
            return None
        tracing = _begin(metrics)
    except Exception as error:  # whatever a variable breaks, requests are answered
        logger.warning("no traces are sent: %s", error)
        return None
    sampler = f"{environ.get(SAMPLER) or DEFAULT_SAMPLER} {environ.get(f'{SAMPLER}_ARG', '')}".rstrip()
    logger.info("traces are sent to %s; sampler %s", endpoint, sampler)
    return tracing


def asked_endpoint(environ: Mapping[str, str]) -> str | None:
    """Return where traces are to be sent, without what an address may have of a secret; None if nobody asks for it.

    Raises:
        TracesUnavailable: what is asked for cannot be done.

    >>> asked_endpoint({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://me:secret@collector:4318/otlp"})
    'https://collector:4318'
    >>> asked_endpoint({"OTEL_SERVICE_NAME": "eye"}) is None
    True
    """
    if environ.get(DISABLED, "").strip().lower() == "true":
        return None
    exporters = [name.strip().lower() for name in environ.get(EXPORTER, "").split(",") if name.strip()]
    name = next((each for each in ENDPOINTS if environ.get(each, "").strip()), "")
    if exporters == ["none"] or not (name or exporters):
        return None
    if exporters not in ([], ["otlp"]):
        raise TracesUnavailable(f"{EXPORTER}: write otlp or none; nothing else is offered here")
    for each in PROTOCOLS:
        protocol = environ.get(each, "").strip().lower()
        if protocol not in ("", SPOKEN):
            raise TracesUnavailable(
                f"{each}: write {SPOKEN} (port 4318 of most collectors); nothing else is spoken here"
            )
        if protocol:
            break
    return _shown(name or ENDPOINTS[1], environ.get(name, "").strip() or DEFAULT_ENDPOINT)


def _shown(name: str, endpoint: str) -> str:
    wrong = TracesUnavailable(f"{name}: write an address such as {DEFAULT_ENDPOINT}")
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or not host:
        raise wrong
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}" + (f":{port}" if port else "")


def _begin(metrics: Metrics) -> RequestTracing:
    try:
        from service.api.traces.tracing import RequestTracing
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise TracesUnavailable(f"the Python package {error.name} is not installed; {INSTALL}") from None
    return RequestTracing.from_environment(metrics)
