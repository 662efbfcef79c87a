"""The handle by which the API process starts, asks and ends a decoder process.

Knows no clients and no queue: one image at a time. The event loop's thread only, but for `start` and `reap`, which
block for some milliseconds and belong into a thread.
"""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import os
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess

import numpy as np

from model.pixels.tiles import TiledImage, Tiles
from service.byte_units import MIB
from service.decoding.frames import (
    ANSWER_HEAD,
    MAX_HEAD_BYTES,
    QUESTION,
    BrokenAnswer,
    joined_if_small,
    read_head,
)
from service.decoding.limits import DecodeLimits
from service.decoding.process import READY, run
from service.images import ImageSource

PRELOADS = ["service.decoding.preload", "service.decoding.preload_compiled"]
START_S = 20.0  # a decoder that has not come up by then hangs
REAP_S = 5.0
MEMORY_FOLDER = "/dev/shm"  # noqa: S108 - of Linux; in it, a folder that only this user may enter
# Who has computed for less of the time than this has not decoded: it hangs, or the machine has no time for it.
IDLE_SHARE = 0.03
TILES_BYTES = 8 * MIB  # the tiles of an image at x4-672 and 448; sent at once, they cost the event loop one wake-up


class DecoderDied(Exception):
    """A decoder process ended before its answer."""


class DecoderProcess:
    """A running decoder process.

    Attributes:
        retired: why it is to be replaced, as it has said; or empty.
    """

    def __init__(self, process: BaseProcess, pipe: socket.socket) -> None:
        """Use `DecoderProcess.start` instead."""
        self._process, self._pipe = process, pipe
        self.retired = ""
        self._given_s, self._given_cpu_s = 0.0, 0.0  # when it got its image: the clock, and what it had computed
        self._told_cpu_s = 0.0

    @classmethod
    def start(cls, limits: DecodeLimits) -> DecoderProcess:
        """Start a decoder process; blocks until it is forked.

        Raises:
            OSError, EOFError: the machine has no process or descriptor left.
        """
        _find_folder_for_socket()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADS[: 1 + limits.compiled])
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, TILES_BYTES)  # or as much as the system allows
        process = context.Process(target=run, args=(theirs, limits), name="pheye-decoder", daemon=True)
        try:
            with theirs:  # else the socket would stay open when the child ends
                process.start()
        except BaseException:
            ours.close()
            raise
        return cls(process, ours)

    async def ready(self) -> None:
        """Wait until the process can decode.

        Raises:
            OSError, EOFError, TimeoutError: it ended, or hangs.
        """
        async with asyncio.timeout(START_S):
            if await asyncio.get_running_loop().sock_recv(self._pipe, len(READY)) != READY:
                raise EOFError("the decoder process ended while it started")

    @property
    def pid(self) -> int | None:
        """The process id of the child."""
        return self._process.pid

    async def decode(self, source: ImageSource, tile_px: int, level: int) -> TiledImage:
        """Have an image decoded. A decoder whose answer was not awaited to its end can only be killed.

        Raises:
            ServiceError: the image is refused.
            DecoderDied: the process ended before its answer.
            BrokenAnswer: the process sent something else.
        """
        self._given_s, self._given_cpu_s = time.monotonic(), self._observed().cpu_s
        try:
            await self._ask(source, tile_px, level)
            return await self._answer((1 + level**2, tile_px, tile_px, 3))
        except OSError as error:
            raise DecoderDied(str(error)) from None

    def new_cpu_s(self) -> float:
        """Return the seconds it has computed before it got its image and since the last call; 0 if nobody tells."""
        since_s, self._told_cpu_s = self._given_cpu_s - self._told_cpu_s, self._given_cpu_s
        return since_s if math.isfinite(since_s) else 0.0

    def hangs(self) -> bool:
        """Say whether it was stopped, or got hardly any computing time since it was given its image.

        Either is no fault of the image. Where the system does not tell, the answer is no.
        """
        seen, took_s = self._observed(), time.monotonic() - self._given_s
        return seen.stopped or 0.0 <= seen.cpu_s - self._given_cpu_s < IDLE_SHARE * took_s

    def _observed(self) -> _Observed:
        return _observe(self.pid) if self.pid is not None else _UNKNOWN

    async def _ask(self, source: ImageSource, tile_px: int, level: int) -> None:
        loop, file = asyncio.get_running_loop(), source.file_bytes()
        head = QUESTION.pack(tile_px, level, len(file))
        for piece in joined_if_small(head, memoryview(file)):
            await loop.sock_sendall(self._pipe, piece)

    async def _answer(self, shape: tuple[int, ...]) -> TiledImage:
        """Receive an answer; in as few pieces as it comes, since each costs the event loop a turn."""
        size = math.prod(shape)
        received = np.empty(ANSWER_HEAD.size + MAX_HEAD_BYTES + size, np.uint8)
        seen = await self._receive(received, 0, ANSWER_HEAD.size)
        (head_bytes,) = ANSWER_HEAD.unpack_from(received.data)
        if head_bytes > MAX_HEAD_BYTES:
            raise BrokenAnswer(f"a head of {head_bytes} bytes")
        begin = ANSWER_HEAD.size + head_bytes
        seen = await self._receive(received, seen, begin)
        head = read_head(received[ANSWER_HEAD.size : begin].tobytes())
        self.retired = head.retire
        end = begin + (size if head.refusal is None else 0)
        if await self._receive(received, seen, end) > end:
            raise BrokenAnswer("more than its answer")
        if head.refusal is not None:
            raise head.refusal
        return head.image(received[begin:end].reshape(shape))

    async def _receive(self, received: Tiles, seen: int, needed: int) -> int:
        """Receive until so many bytes are there, and return how many are: more may come along."""
        loop = asyncio.get_running_loop()
        while seen < needed:
            count = await loop.sock_recv_into(self._pipe, received[seen:].data)
            if not count:
                raise DecoderDied("its socket is closed")
            seen += count
        return seen

    def watch(self, ended: Callable[[DecoderProcess], None]) -> None:
        """Call `ended` should the process end while it has no image."""
        asyncio.get_running_loop().add_reader(self._pipe, ended, self)

    def unwatch(self) -> None:
        """End what `watch` began."""
        asyncio.get_running_loop().remove_reader(self._pipe)

    def kill(self) -> None:
        """End the process now, whatever it does; who awaits its answer gets `DecoderDied`."""
        self._process.kill()

    def close(self) -> None:
        """Kill the process and close its socket, whose answer nobody may await any more; `reap` follows."""
        self._pipe.close()
        self.kill()

    def reap(self) -> int | None:
        """Wait for the end of the process and return its exit code; blocks, for a moment."""
        self._process.join(REAP_S)
        code = self._process.exitcode
        if code is not None:
            self._process.close()
        return code


@dataclass(frozen=True, slots=True)
class _Observed:
    """The system's view of a process: whether it is stopped (SIGSTOP), and the seconds it has computed."""

    stopped: bool
    cpu_s: float


_UNKNOWN = _Observed(stopped=False, cpu_s=math.inf)


def _observe(pid: int) -> _Observed:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()  # before it stands the name, which may hold anything
        return _Observed(fields[0] in "Tt", (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
    except (OSError, IndexError, ValueError):
        return _UNKNOWN


def _find_folder_for_socket() -> None:
    """Let the fork server have its socket in a folder in memory where no other can be written."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        tempfile.tempdir = MEMORY_FOLDER
