"""The server process: start-up, the lines that say what is served, graceful shutdown, exit code.

Owns signals and logging. The main thread's.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from types import FrameType

import uvicorn

from service.api.app import create_app
from service.dispatch.queue import RequestQueue
from service.messages import ModelCard
from service.metrics import Metrics
from service.settings import Settings

LAST_BYTES_S = 5.0  # for complete answers that are still being sent when graceful shutdown ends

logger = logging.getLogger("pheye")


def serve(settings: Settings) -> int:
    """Serve until a signal ends it.

    Returns:
        The process's exit code: 0 after an orderly end, 1 if the model cannot be loaded or the address is taken.
    """
    configure_logging(settings.log_level)
    try:
        listener = listen(settings.host, settings.port)
    except OSError as error:
        logger.error("cannot listen on %s port %d: %s", settings.host, settings.port, error.strerror or error)
        return 1
    with listener:
        return asyncio.run(_serve(settings, listener))


async def _serve(settings: Settings, listener: socket.socket) -> int:
    metrics = Metrics()
    queue = RequestQueue(settings, metrics)
    config = uvicorn.Config(
        create_app(settings, queue, metrics),
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies.split(","),
        timeout_graceful_shutdown=int(LAST_BYTES_S),
    )
    server = DrainingServer(config, queue, settings)
    logger.info("listening on %s; loading %s", url_of(listener), settings.model)
    await server.serve(sockets=[listener])
    if server.force_exit:
        await queue.stop()  # a forced exit skips the lifespan's end, which would stop the queue
    logger.info("stopped")
    return 1 if queue.failed.is_set() else 0


class DrainingServer(uvicorn.Server):
    """A uvicorn server with graceful shutdown: a signal lets accepted work finish before the listener closes."""

    def __init__(self, config: uvicorn.Config, queue: RequestQueue, settings: Settings) -> None:
        """Serve `config`'s app, whose queue is `queue`."""
        super().__init__(config)
        self._queue = queue
        self._grace_s = settings.drain_grace_s
        self._model = settings.model
        self._drain: asyncio.Task[None] | None = None
        self._signals = 0
        self._announced = False
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain on the first signal, leave at once on the second.

        Uvicorn's own would raise the signal again at the end, and the exit code would not be 0.
        """
        self._signals += 1
        if self._signals == 1:
            self._loop.call_soon_threadsafe(self._begin_drain)
        else:
            self.force_exit = self.should_exit = True

    def _begin_drain(self) -> None:
        logger.info(
            "draining: new requests are refused, running ones have %.0f s; signal again to force", self._grace_s
        )
        self._drain = asyncio.create_task(self._drain_and_exit())

    def _give_up(self) -> None:
        logger.error("giving up: %s", self._queue.failure)
        self._drain = asyncio.create_task(self._drain_and_exit())  # other devices may still run accepted answers

    async def _drain_and_exit(self) -> None:
        await self._queue.drain(self._grace_s)
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Look ten times a second if the model is loaded, or never will be."""
        if self._queue.failed.is_set() and self._drain is None:
            self._give_up()
        if not self._announced and self._queue.card is not None:
            self._announced = True
            announce(self._queue.card, self._model)
        return await super().on_tick(counter)


def announce(card: ModelCard, model: str) -> None:
    """Log what is served, on which device, in which precision and why."""
    logger.info(
        "serving %s: %.1f M parameters on %s in %s (%s); %d slots of %d tokens, %d tiles and %d tokens an image",
        card.name, card.parameters / 1e6, card.device, card.dtype, card.dtype_reason,
        card.slots, card.context_tokens, card.image_tiles, card.image_tokens,
    )  # fmt: skip
    if model.startswith("random:"):
        logger.warning(
            "!!! %s HAS RANDOM WEIGHTS: its answers mean nothing. Set PHEYE_MODEL to a checkpoint. !!!", card.name
        )


def configure_logging(level: str) -> None:
    """Write plain log lines to standard error; uvicorn only logs warnings."""
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


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


def url_of(listener: socket.socket) -> str:
    """Return the address that clients use."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
