"""Graceful shutdown: from the signal over lame duck, closing the listener and the grace period to the last byte.

Owns the order of these steps and their times. Main thread: signal handlers and the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType

import uvicorn

from service.api.connections.registry import OpenConnections
from service.api.connections.shutdown.running import RunningRequests
from service.api.connections.shutdown.syn_filter import take_no_new_connections
from service.api.connections.shutdown.watchdog import end_process_after
from service.configuration.settings import Settings
from service.dispatch.queue import RequestQueue
from service.messages.from_worker import ModelCard

LAST_BYTES_S = 5.0  # for complete answers that are still being sent when the grace period ends
HURRIED_LAST_BYTES_S = 0.5
LAST_WORDS_S = 0.3  # for answers of work that was just given up, before requests are cancelled one by one
HARD_EXIT_S = 10.0  # after delay and grace, whatever hangs
HURRIED_EXIT_S = 3.0  # after a second signal
TEARDOWN_S = 7.0  # for workers and threads, after the last byte
WAITING_CONNECTIONS = (
    1024  # in the kernel, to be accepted; beyond it a client's first packet is dropped and comes again
)
HANDSHAKE_S = 0.3  # for handshakes that have begun, whose last packet is on its way
ACCEPT_TURNS = 4  # of the event loop, in which asyncio's own accepted sockets join their server; they need it open
POLL_S = 0.02
SWEEP_TICKS = 5  # of uvicorn's ten a second

logger = logging.getLogger("pheye")


class DrainingServer(uvicorn.Server):
    """A uvicorn server with graceful shutdown: accepted work is answered, and new work finds another server in time."""

    def __init__(
        self,
        config: uvicorn.Config,
        queue: RequestQueue,
        settings: Settings,
        connections: OpenConnections,
        running: RunningRequests,
        on_loaded: Callable[[ModelCard], None],
    ) -> None:
        """Serve `config`'s app, whose queue, connections and running requests these are.

        Args:
            config: of uvicorn.
            queue: drained at the end.
            settings: times of the drain.
            connections: looked through while the server runs, and closed at the end.
            running: what is cancelled when its time is over.
            on_loaded: told once of the loaded model.
        """
        super().__init__(config)
        self._queue = queue
        self._connections = connections
        self._running = running
        self._delay_s = settings.drain_delay_s
        self._grace_s = settings.drain_grace_s
        self._on_loaded = on_loaded
        self._loaded = False
        self._drain: asyncio.Task[None] | None = None
        self._accepting: set[asyncio.Task[object]] = set()
        self._signals = 0
        self._hurry = False
        self._loop = asyncio.get_running_loop()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen; more connections may wait in the kernel than are accepted in a turn of the event loop."""
        await super().startup(sockets)
        for listener in sockets or []:
            listener.listen(WAITING_CONNECTIONS)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain on the first signal, and hurry on the second.

        Uvicorn's own would raise the signal again at the end, and the exit code would not be 0.
        """
        self._signals += 1
        if self._signals == 1:
            self._loop.call_soon_threadsafe(self._begin_drain, sig)
        else:
            self._hurry = True
            end_process_after(HURRIED_EXIT_S, 1)

    def _begin_drain(self, sig: int) -> None:
        # Nobody's load balancer waits for a person at a terminal.
        delay_s = 0.0 if sig == signal.SIGINT else self._delay_s
        if self._drain is None:
            logger.info(
                "draining: not ready from now on; new requests are accepted for %.0f s more, accepted ones have %.0f s "
                "after that; signal again to hurry",
                delay_s, self._grace_s,
            )  # fmt: skip
            self._start_drain(delay_s)

    def _start_drain(self, delay_s: float) -> None:
        end_process_after(delay_s + self._grace_s + HARD_EXIT_S, 1)
        self._drain = asyncio.create_task(self._drain_and_exit(delay_s))

    async def _drain_and_exit(self, delay_s: float) -> None:
        try:
            self._queue.announce_shutdown()
            self._connections.announce_close()
            await self._until(lambda: False, delay_s)
            await self._stop_listening()
            # Whoever has a connection may still ask on it, once: a proxy that is about to would otherwise lose the
            # request. When nothing is under way any more, the queue refuses, and what is left gets its 503.
            await self._until(lambda: not (self._queue.busy or self._connections.busy), self._grace_s)
            await self._queue.drain(0.0)
            await self._send_last_bytes()
        finally:
            if self._hurry:
                self._queue.kill()
            end_process_after(TEARDOWN_S, int(self._queue.failed.is_set()))
            self.should_exit = True

    async def _stop_listening(self) -> None:
        """Accept what the kernel has accepted, then close the listener, with nothing in between: no client is reset."""
        if not self.started:
            return
        listeners = [listener for server in self.servers for listener in server.sockets]
        for listener in listeners:
            with socket.socket(fileno=os.dup(listener.fileno())) as whole:  # what asyncio has is no whole socket
                take_no_new_connections(whole)
        await asyncio.sleep(HANDSHAKE_S)
        for listener in listeners:
            self._loop.remove_reader(listener.fileno())
        for _ in range(ACCEPT_TURNS):
            await asyncio.sleep(0)
        for server in self.servers:
            for listener in server.sockets:
                self._accept_all(listener.fileno())
            server.close()

    def _accept_all(self, descriptor: int) -> None:
        with socket.socket(fileno=os.dup(descriptor)) as listener:
            listener.setblocking(False)
            while True:
                try:
                    accepted, _ = listener.accept()
                except OSError:
                    return
                accepting = self._loop.connect_accepted_socket(self._new_protocol, accepted)
                task = self._loop.create_task(accepting)
                self._accepting.add(task)
                task.add_done_callback(self._accepting.discard)

    def _new_protocol(self) -> asyncio.Protocol:
        make: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        state = self.lifespan.state
        return make(config=self.config, server_state=self.server_state, app_state=state, _loop=self._loop)

    async def _send_last_bytes(self) -> None:
        """Let answers reach their clients; end what does not end."""
        await self._until(lambda: not self._connections.busy, LAST_WORDS_S, LAST_WORDS_S)
        self._running.cancel_unanswered()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._until(lambda: not self.server_state.connections, LAST_BYTES_S, HURRIED_LAST_BYTES_S)
        self._connections.abort_all()

    async def _until(self, condition: Callable[[], bool], seconds: float, hurried_s: float = 0.0) -> None:
        """Wait until a condition holds, for so many seconds at most; for `hurried_s` if there was a second signal."""
        began_s = time.monotonic()
        while not condition():
            if time.monotonic() - began_s >= (hurried_s if self._hurry else seconds):
                return
            await asyncio.sleep(POLL_S)

    async def on_tick(self, counter: int) -> bool:
        """Look ten times a second if the model is loaded or never will be, and twice if connections had their time."""
        if not self._loaded and self._queue.card is not None:
            self._loaded = True
            self._on_loaded(self._queue.card)
        if self._queue.failed.is_set() and self._drain is None:
            logger.error("giving up: %s", self._queue.failure)
            self._start_drain(0.0)  # other devices may still run accepted answers
        if counter % SWEEP_TICKS == 0:
            self._connections.sweep()
        return await super().on_tick(counter)
