"""The server process: start-up, the lines that say what is served, exit code.

Owns the listening socket and logging; graceful shutdown is `service.api.connections.shutdown.graceful`'s. The main
thread's.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import socket
from functools import partial

import uvicorn

from model.complexity import slot_bytes
from service.allocator import collect_from_now_on
from service.api.app import create_app
from service.api.connections.descriptors import ConnectionPlan, plan_connections, raise_descriptor_limit
from service.api.connections.protocol import GuardedProtocol
from service.api.connections.quiet_log import quieten
from service.api.connections.registry import OpenConnections
from service.api.connections.shutdown.graceful import DrainingServer
from service.api.edge.forwarded import ForwardedHeaders, TrustedProxies
from service.api.traces.environment import tracing_from
from service.configuration.service_links import ignored_links
from service.configuration.settings import Settings, SettingsError
from service.dispatch.queue import RequestQueue
from service.known_world import REAL_CHECKPOINT
from service.logs import LogFormat, configure_logging
from service.mcp.extra import ExtraMissing, check_extra
from service.messages.from_worker import ModelCard
from service.metrics.service_metrics import Metrics

logger = logging.getLogger("pheye")


def serve(settings: Settings) -> int:
    """Serve until a signal ends it.

    Returns:
        The process's exit code: 0 after an orderly end, 1 if the model cannot be loaded or the address is taken.

    Raises:
        SettingsError: the process may not open as many files as the settings need, or lacks a package for them.
    """
    configure_api_logging(settings.log_level, settings.log_format)
    if settings.mcp:
        _check_mcp()
    workers, fetches = len(settings.devices.split(",")), settings.image_fetches if settings.image_hosts else 0
    plan = plan_connections(raise_descriptor_limit(), workers, settings.max_connections, fetches)
    try:
        listener = listen(settings.host, settings.port)
    except OSError as error:
        logger.error("cannot listen on %s port %d: %s", settings.host, settings.port, error.strerror or error)
        return 1
    with listener:
        return asyncio.run(_serve(settings, plan, listener))


def _check_mcp() -> None:
    try:
        check_extra()
    except ExtraMissing as error:
        raise SettingsError(f"PHEYE_MCP: {error}") from None


async def _serve(settings: Settings, plan: ConnectionPlan, listener: socket.socket) -> int:
    metrics = Metrics()
    queue = RequestQueue(settings, metrics)
    app = create_app(settings, queue, metrics, tracing_from(os.environ, metrics))
    connections = OpenConnections(settings, plan, metrics)
    config = uvicorn.Config(
        ForwardedHeaders(app, TrustedProxies(settings.trusted_proxies)),
        http=partial(GuardedProtocol, connections),  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # `ForwardedHeaders` reads them
        backlog=plan.accepts,
        timeout_keep_alive=math.ceil(settings.idle_timeout_s),
        timeout_graceful_shutdown=1,  # the drain has waited for whatever was worth it
    )
    server = DrainingServer(
        config, queue, settings, connections, app.state.running, partial(announce, settings=settings)
    )
    count = len(settings.devices.split(","))
    where = "" if count == 1 else f" in {count} workers"
    logger.info("listening on %s; loading %s%s", url_of(listener, connections.tls is not None), settings.model, where)
    if ignored := ignored_links():
        logger.info(ignored)
    renewal = None if connections.tls is None else asyncio.create_task(connections.tls.watch())
    collect_from_now_on()
    await server.serve(sockets=[listener])
    if renewal is not None:
        renewal.cancel()
    logger.info("stopped")
    return 1 if queue.failed.is_set() else 0


def announce(card: ModelCard, settings: Settings) -> None:
    """Log what is served, on which device, in which precision and why, with how many slots and why."""
    logger.info(
        "serving %s: %.1f M parameters on %s in %s (%s); %d slots of %d tokens a worker (%s, %.0f MB), "
        "%d tiles and %d tokens an image",
        card.name, card.parameters / 1e6, card.device, card.dtype, card.dtype_reason,
        card.slots, card.context_tokens, _slots_reason(card, settings), _slots_bytes(card) / 1e6,
        card.image_tiles, card.image_tokens,
    )  # fmt: skip
    if card.about is not None:
        otherwise = f"; for others: {REAL_CHECKPOINT}" if card.about.outside_answer else ""
        logger.info("%s knows %s%s", card.name, card.about.knows, otherwise)
    if settings.model.startswith("random:"):
        logger.warning(
            "!!! %s HAS RANDOM WEIGHTS: its answers mean nothing. Set PHEYE_MODEL to a checkpoint. !!!", card.name
        )


def _slots_reason(card: ModelCard, settings: Settings) -> str:
    if settings.slots:
        return "as PHEYE_SLOTS says"
    return "as always on a CPU" if card.device == "cpu" else "as many as its memory holds, up to 64"


def _slots_bytes(card: ModelCard) -> int:
    return card.slots * slot_bytes(card.config, card.context_tokens, card.dtype)


def configure_api_logging(level: str, log_format: LogFormat) -> None:
    """Write log lines to standard error; libraries only log warnings."""
    configure_logging(level.upper(), log_format)
    for library in ("uvicorn", "httpcore", "httpx", "mcp", "opentelemetry", "urllib3"):  # some log whole URLs
        logging.getLogger(library).setLevel(logging.WARNING)
    quieten()


def listen(host: str, port: int) -> socket.socket:
    """Bind a socket before anything slow is started, so that a taken address fails at once.

    Raises:
        OSError: the address is taken or not ours.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def url_of(listener: socket.socket, tls: bool = False) -> str:
    """Return the address that clients use."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
