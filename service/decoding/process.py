"""The main function of a decoder process: it decodes one image after the other, under the kernel's limits.

Knows no clients. A decoder holds one socket, the API process's, and ends when that closes. Runs in the child process
that `service.decoding.decoder` starts, in its only thread.
"""

from __future__ import annotations

import ctypes
import logging
import os
import select
import signal
import socket
import sys
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from PIL import Image

from model.pixels.tiles import TiledImage
from service.allocator import return_freed_memory
from service.decoding.compiled_views import LOADER
from service.decoding.decode import silence_pillow, tile
from service.decoding.frames import QUESTION, joined_if_small, refusal_head, tiles_head
from service.decoding.limits import (
    DecodeLimits,
    confine_process,
    first_when_memory_is_short,
    grant_cpu,
    resident_bytes,
)
from service.errors import InvalidField, ServiceError
from service.images import ImageSource

_PR_SET_PDEATHSIG = 1
IDLE_S = 1.0  # without an image for so long, a decoder gives back memory
IMAGES_BY_PILLOW = 50  # before a decoder is replaced that began before compiled code was there
WORN, NO_MEMORY = "worn", "memory"  # why a decoder ends
READY = b"!"  # the first byte of a decoder that has put itself under its limits
NEEDS_TOO_MUCH = "image: decoding it needs more memory than allowed; save it smaller, or as JPEG or PNG"


def run(api_process: socket.socket, limits: DecodeLimits) -> None:
    """Run a decoder process, from start to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C in the terminal reaches the whole group
    _end_with_parent()
    _be_silent(limits)
    confine_process(limits)
    most_bytes = resident_bytes() + limits.kept_bytes
    with suppress(OSError), api_process:  # the API process is gone
        api_process.sendall(READY)
        for left in reversed(range(_images(limits))):
            if not _is_asked(api_process) and _keeps_more_than(most_bytes):
                return
            answer = _answer(api_process, limits)
            if answer is None:
                return
            retire = answer.retire or ("" if left else WORN)
            _send(api_process, answer.outcome, retire)
            if retire:
                return


def _images(limits: DecodeLimits) -> int:
    """Return how many images this process decodes: fewer if a later one may do it faster."""
    return min(limits.images, IMAGES_BY_PILLOW) if LOADER.looks else limits.images


def _is_asked(api_process: socket.socket) -> bool:
    """Wait a moment for a question; False if none has come."""
    return bool(select.select([api_process], [], [], IDLE_S)[0])


def _keeps_more_than(most_bytes: int) -> bool:
    """Give back the memory that decoding has left behind, and say whether this process stays too large all the same."""
    if resident_bytes() > most_bytes:
        return_freed_memory()
    return resident_bytes() > most_bytes


def _end_with_parent() -> None:
    """Ask Linux to end this process with the fork server, which ends with the API process.

    The end of the socket is noticed between two images only.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _be_silent(limits: DecodeLimits) -> None:
    silence_pillow()
    logging.disable()
    # Pillow's own limit, which it applies where it allocates: a second net behind the checks of the file.
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)  # libraries in C write there
    os.close(nowhere)


@dataclass(frozen=True, slots=True)
class _Answer:
    outcome: TiledImage | ServiceError
    retire: str = ""


def _answer(api_process: socket.socket, limits: DecodeLimits) -> _Answer | None:
    """Receive an image file and decode it; None when nobody asks any more."""
    head = _receive(api_process, QUESTION.size)
    if head is None:
        return None
    tile_px, level, length = QUESTION.unpack(head)
    grant_cpu(limits.timeout_s)
    try:
        file = _receive(api_process, length)
        if file is None:
            return None
        source = ImageSource(bytes(file))
        del file  # its bytes are in `source`
        with first_when_memory_is_short():
            return _Answer(_tile(source, limits, tile_px, level))
    except MemoryError:
        return _Answer(InvalidField(NEEDS_TOO_MUCH), retire=NO_MEMORY)
    except ServiceError as error:
        return _Answer(error.with_traceback(None))  # else the file would stay in memory with its frames


def _tile(source: ImageSource, limits: DecodeLimits, tile_px: int, level: int) -> TiledImage:
    work = partial(
        tile,
        source,
        max_pixels=limits.max_pixels,
        tile_px=tile_px,
        level=level,
        exact=limits.exact,
        make_views=LOADER.make_views,
    )
    try:
        return work()
    except MemoryError:
        return_freed_memory()  # what earlier images have left behind is no fault of this one
    return work()


def _send(api_process: socket.socket, outcome: TiledImage | ServiceError, retire: str) -> None:
    if isinstance(outcome, ServiceError):
        api_process.sendall(refusal_head(outcome, retire))
    else:
        for piece in joined_if_small(tiles_head(outcome, retire), outcome.tiles.reshape(-1).data):
            api_process.sendall(piece)


def _receive(api_process: socket.socket, length: int) -> bytearray | None:
    """Receive so many bytes, or None if the API process is gone."""
    data = bytearray(length)
    view = memoryview(data)
    while view:
        count = api_process.recv_into(view)
        if not count:
            return None
        view = view[count:]
    return data
