"""The pool of decoder processes: who waits for one, what becomes of one that dies, and when it is killed.

Owns the promise that an image costs nobody but its sender: a decoder has one image at a time, and is killed and
replaced when that takes too long or its client has left. Knows no HTTP. Event loop's thread only.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from model.pixels.tiles import TiledImage
from service.configuration.settings import Settings
from service.decoding.decoder import DecoderDied, DecoderProcess
from service.decoding.failures import OF_ITS_OWN, Failure, failure_of, refusal_of
from service.decoding.frames import BrokenAnswer
from service.decoding.limits import decode_limits
from service.decoding.process import NO_MEMORY
from service.decoding.round_robin import RoundRobinQueue
from service.decoding.shares import DecoderShares
from service.errors import ServiceError, Unavailable
from service.images import ImageSource
from service.metrics.service_metrics import Metrics

TRIES = 3  # for an image whose decoders are killed from outside or hang, which is not its fault
# Times what one image may take, with others waiting and none decoded, refused or given up.
STALLED_TIMEOUTS = 3
START_PATIENCE_S = 30.0  # without any decoder for so long, the service calls itself not ready
MAX_PAUSE_S = 5.0  # between two attempts to start a decoder

logger = logging.getLogger("pheye.decoding")


class DecoderPool:
    """As many decoders as the settings say, and the images that wait for one."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._limits = decode_limits(settings)
        self._size = settings.decoders
        self._metrics = metrics
        self._idle: list[DecoderProcess] = []
        self._busy: dict[DecoderProcess, str] = {}  # and whose image each has
        self._shares = DecoderShares(settings.decoders)
        self._waiting: RoundRobinQueue[asyncio.Future[DecoderProcess]] = RoundRobinQueue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._alive_s = time.monotonic()  # when there was a decoder last
        self._progress_s = self._alive_s  # when an image was decoded, refused or given up last, or nothing waited
        self._forks = ThreadPoolExecutor(1, thread_name_prefix="pheye-decoders")
        self._stopped = False
        metrics.decoders.set(settings.decoders)
        metrics.decoders_busy.set_function(lambda: len(self._busy))
        metrics.decodes_waiting.set_function(lambda: len(self._waiting))

    def start(self) -> None:
        """Start all decoders and return at once; images wait for them."""
        self._alive_s = time.monotonic()
        for _ in range(self._size):
            self._spawn(self._start_one())

    async def stop(self) -> None:
        """Kill all decoders and wait for none of them; whoever waits for one is refused."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        self._forks.shutdown(wait=False, cancel_futures=True)
        for decoder in self._idle:
            decoder.unwatch()
            decoder.close()
        self._idle.clear()
        for decoder in self._busy:
            decoder.kill()
        while self._waiting:
            _, turn = self._waiting.pop()
            if not turn.done():
                turn.set_exception(_stopping())

    def not_ready(self) -> str | None:
        """Say why no image can be decoded now, or None if it can."""
        now_s = time.monotonic()
        if self._idle:
            return None
        if not self._busy:
            return "no image decoder can be started" if now_s - self._alive_s > START_PATIENCE_S else None
        quiet_s = now_s - self._progress_s
        if not self._waiting or quiet_s <= STALLED_TIMEOUTS * self._limits.timeout_s:
            return None
        return f"no image was decoded for {quiet_s:.0f} s, and {len(self._waiting)} wait: every decoder is busy"

    @property
    def pids(self) -> list[int]:
        """The process ids of the decoders."""
        return [decoder.pid for decoder in (*self._idle, *self._busy) if decoder.pid is not None]

    async def decode(self, source: ImageSource, *, tile_px: int, level: int, client: str = "") -> TiledImage:
        """Decode and tile an image; cancel it to free its decoder at once.

        Args:
            source: the image; the bytes of its file, since base64 is decoded in this thread.
            tile_px: side of a tile.
            level: local tiles along each side.
            client: whose image it is; decoders are shared fairly between clients.

        Raises:
            ServiceError: as `service.decoding.decode.tile`, and if it takes too long or too much memory.
            Unavailable: no decoder did its work, through no fault of the image.
        """
        failures: list[Failure] = []
        while True:
            decoder = await self._acquire(client, first=bool(failures))
            try:
                async with asyncio.timeout(self._limits.timeout_s):
                    image = await decoder.decode(source, tile_px, level)
            except TimeoutError:
                failures.append(self._explain_timeout(decoder))
            except (DecoderDied, BrokenAnswer) as error:
                failures.append(await self._explain_death(decoder, error))
            except ServiceError:
                self._release(decoder)
                raise
            except BaseException:  # its client has left, or waits no longer
                if not decoder.hangs():
                    self._progress_s = time.monotonic()
                self._replace(decoder, "cancelled")
                raise
            else:
                self._release(decoder)
                return image
            if failures[-1] in OF_ITS_OWN:
                self._progress_s = time.monotonic()
            refusal = refusal_of(failures, TRIES, self._limits.timeout_s)
            if refusal is not None:
                raise refusal

    def _explain_timeout(self, decoder: DecoderProcess) -> Failure:
        """Kill a decoder that has taken too long, and say whether it computed or hung."""
        failure: Failure = "hung" if decoder.hangs() else "timeout"
        logger.warning("no image after %.3g s: its decoder was killed (%s)", self._limits.timeout_s, failure)
        self._replace(decoder, failure)
        return failure

    async def _explain_death(self, decoder: DecoderProcess, error: Exception) -> Failure:
        self._replace(decoder, reap=False)
        code = await _reaped(decoder)
        failure = "crash" if isinstance(error, BrokenAnswer) else failure_of(code)
        self._metrics.decoders_killed.labels(failure).inc()
        logger.warning("a decoder ended before its answer: %s, exit code %s", error, code)
        return failure

    async def _acquire(self, client: str, *, first: bool) -> DecoderProcess:
        if self._stopped:
            raise _stopping()
        if not self._idle and not self._busy and (reason := self.not_ready()):
            raise Unavailable(reason)
        self._shares.ask(client)
        if self._idle and self._shares.may_take(client):
            return self._give(self._unwatched(self._idle.pop()), client)
        if not self._waiting:
            self._progress_s = time.monotonic()
        turn: asyncio.Future[DecoderProcess] = asyncio.get_running_loop().create_future()
        self._waiting.push(client, turn, first=first)
        try:
            return await turn
        except asyncio.CancelledError:
            self._waiting.remove(client, turn)
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._release(turn.result())
            raise

    def _release(self, decoder: DecoderProcess) -> None:
        self._progress_s = time.monotonic()
        if decoder.retired:
            self._replace(decoder, "memory" if decoder.retired == NO_MEMORY else None)
        else:
            self._take_back(decoder)
            self._offer(decoder)

    def _give(self, decoder: DecoderProcess, client: str) -> DecoderProcess:
        self._busy[decoder] = client
        self._shares.take(client)
        return decoder

    def _take_back(self, decoder: DecoderProcess) -> None:
        if (client := self._busy.pop(decoder, None)) is not None:
            self._shares.give_back(client)
            self._metrics.decoder_cpu_seconds.inc(decoder.new_cpu_s())

    def _offer(self, decoder: DecoderProcess) -> None:
        """Add a decoder to the idle ones, and give those to whoever waits and may have one."""
        self._alive_s = time.monotonic()
        if self._stopped:
            decoder.close()
            return
        self._idle.append(decoder)
        decoder.watch(self._ended_idle)
        with suppress(IndexError):  # nobody waits who may
            while self._idle:
                client, turn = self._waiting.pop(self._shares.may_take)
                if not turn.done():  # else: cancelled a moment ago
                    turn.set_result(self._give(self._unwatched(self._idle.pop()), client))

    def _unwatched(self, decoder: DecoderProcess) -> DecoderProcess:
        decoder.unwatch()
        return decoder

    def _ended_idle(self, decoder: DecoderProcess) -> None:
        self._idle.remove(decoder)
        decoder.unwatch()
        self._replace(decoder, reap=False)
        self._spawn(self._count_idle_end(decoder))

    async def _count_idle_end(self, decoder: DecoderProcess) -> None:
        if await _reaped(decoder) != 0:  # else: it has ended of itself, since it had grown
            self._metrics.decoders_killed.labels("killed").inc()

    def _replace(self, decoder: DecoderProcess, reason: str | None = None, *, reap: bool = True) -> None:
        """Kill a decoder and start another; the reason is counted, if any."""
        self._take_back(decoder)
        decoder.close()
        if reason is not None:
            self._metrics.decoders_killed.labels(reason).inc()
        self._alive_s = time.monotonic()
        if reap:
            self._spawn(_reap(decoder))
        self._spawn(self._start_one())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if self._stopped:
            work.close()
            return
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _start_one(self) -> None:
        pause_s = 0.1
        while True:
            try:
                self._offer(await self._started())
                return
            except Exception as error:  # whatever it is: the pool would be one decoder short for good
                logger.error("cannot start an image decoder: %s: %s", type(error).__name__, error)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, MAX_PAUSE_S)

    async def _started(self) -> DecoderProcess:
        forking = self._forks.submit(DecoderProcess.start, self._limits)
        try:
            decoder = await asyncio.wrap_future(forking)
        except asyncio.CancelledError:
            forking.add_done_callback(_close_unwanted)
            raise
        try:
            await decoder.ready()
        except BaseException:
            decoder.close()
            raise
        return decoder


async def _reap(decoder: DecoderProcess) -> None:
    await _reaped(decoder)


async def _reaped(decoder: DecoderProcess) -> int | None:
    """Wait for the end of a decoder; its exit code, or None if it is not seen."""
    try:
        return await asyncio.to_thread(decoder.reap)
    except RuntimeError as error:  # no thread left; the process is killed, and the system keeps its entry for a while
        logger.warning("the end of a decoder was not seen: %s", error)
        return None


def _close_unwanted(forking: Future[DecoderProcess]) -> None:
    """Kill a decoder that was being started when the pool stopped; in the thread that has started it."""
    if not forking.cancelled() and forking.exception() is None:
        forking.result().close()


def _stopping() -> Unavailable:
    return Unavailable("the service stopped before the image was decoded")
