"""Limits of a decoder process: the seconds and bytes one image may take, and how the kernel enforces them.

Owns the formula by which `docs/operations.md` bounds the memory of all decoders. Knows no images. The API process makes
the limits, a decoder process puts itself under them.
"""

from __future__ import annotations

import math
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from service.byte_units import MIB
from service.configuration.settings import Settings

# The dearest format takes 16 (docs/operations.md): WEBP has two canvases, its pixels as bytes, and the image itself.
BYTES_PER_PIXEL = 20
FILES = 3  # a body as it was sent; of its base64 decoded, what shows the picture; a part of that in a reader's hands
OTHER_BYTES = 512 * MIB  # a needle 65,535 pixels long, resized to the width of the tiles; tables, buffers
_FIRST_OF_ALL = 1000
_PAGE_BYTES = resource.getpagesize()


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """The bounds on decoding one image, and whether it may be decoded smaller.

    Attributes:
        max_pixels: most pixels accepted.
        timeout_s: seconds that it may take, by the clock and of computing.
        memory_bytes: bytes that a decoder may allocate for it.
        exact: large JPEGs are decoded at full size.
        compiled: compiled code may resize, once it is there.
        images: how many images a decoder decodes before it is replaced.
        kept_bytes: how much larger than at its start a decoder may stay.
    """

    max_pixels: int
    timeout_s: float
    memory_bytes: int
    exact: bool = False
    compiled: bool = False
    images: int = 1000
    kept_bytes: int = 32 * MIB


def decode_limits(settings: Settings) -> DecodeLimits:
    """Derive the limits from the settings."""
    memory_bytes = BYTES_PER_PIXEL * settings.max_pixels + FILES * settings.max_body_bytes + OTHER_BYTES
    compiled = settings.compiled_code == "auto"
    return DecodeLimits(settings.max_pixels, settings.decode_timeout_s, memory_bytes, settings.exact_decoding, compiled)


def confine_process(limits: DecodeLimits) -> None:
    """Bound the memory of this process, and let it leave no core dump."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(ValueError, OSError):  # not on every system; there the time is the only bound
        address_space_bytes = _process_pages(0) * _PAGE_BYTES + limits.memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (address_space_bytes, address_space_bytes))


def grant_cpu(timeout_s: float) -> None:
    """Let the kernel end this process when it has computed `timeout_s` from now on, whoever still watches it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft_s = math.ceil(used.ru_utime + used.ru_stime + timeout_s) + 1
    hard_s = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if hard_s != resource.RLIM_INFINITY:  # `ulimit -t`: nobody can be given more
        soft_s = min(soft_s, hard_s)
    resource.setrlimit(resource.RLIMIT_CPU, (soft_s, hard_s))


@contextmanager
def first_when_memory_is_short() -> Iterator[None]:
    """Let the kernel end this process before any other, as long as the block runs, when there is no memory left.

    An image is why it is short then, and the worker, which may be larger, is not. An idle decoder is no better to end
    than others.
    """
    usual = _oom_score(_FIRST_OF_ALL)
    try:
        yield
    finally:
        _oom_score(usual)


def _oom_score(score: int | None) -> int | None:
    """Set this process's share of blame for a lack of memory, and return what it was; None where there is none."""
    if score is None:
        return None
    try:
        with open("/proc/self/oom_score_adj", "r+", encoding="ascii") as file:
            before = int(file.read())
            file.seek(0)
            file.write(str(score))
    except (OSError, ValueError):  # only Linux has it
        return None
    return before


def resident_bytes() -> int:
    """Return the bytes of memory this process holds; 0 where the system does not tell."""
    return _process_pages(1) * _PAGE_BYTES


def _process_pages(field: int) -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[field])
    except OSError:
        return 0
