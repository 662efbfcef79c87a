"""Images from good files by random edits: a few in the suite, as many as you like by `fuzz_images`."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from service.errors import ServiceError
from service.images import ImageSource
from tests.support.decoders import LEVEL, TILE_PX, killed, running_pool
from tests.support.hostile import png_bad_exif, scan_bomb, tiff_strip, tiff_tile
from tests.support.serving import image_file

Edit = tuple[str, float, bytes]  # what is done, where (a share of the file), with which bytes
KINDS = ("overwrite", "insert", "remove", "repeat", "cut")
TELLING = (
    b"\x00",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\x00",
    b"\xff\xda",
    b"\xff\xd9",
    b"IDAT",
    b",",
    b"!",
)


def seeds() -> list[bytes]:
    """Small good files of every format, and small hostile ones."""
    forms = [("JPEG", "RGB"), ("JPEG", "CMYK"), ("PNG", "P"), ("PNG", "RGBA"), ("WEBP", "RGBA"), ("GIF", "L")]
    forms += [("BMP", "RGB"), ("TIFF", "RGB"), ("TIFF", "CMYK"), ("AVIF", "RGBA")]
    good = [image_file(form, (24, 16), mode) for form, mode in forms]
    return [*good, scan_bomb(24, 20), png_bad_exif(20), tiff_tile(64), tiff_strip(16, 16, 16)]


def edited(file: bytes, edits: list[Edit]) -> bytes:
    """The file after the edits, one after the other."""
    for kind, share, value in edits:
        at = int(share * len(file))
        head, tail = file[:at], file[at:]
        file = {
            "overwrite": head + value + tail[len(value) :],
            "insert": head + value + tail,
            "remove": head + tail[max(1, len(value)) :],
            "repeat": head + tail[:16] * (1 + len(value)) + tail,
            "cut": head or file,
        }[kind]
    return file


def random_edits(chance: random.Random) -> list[Edit]:
    values = (*TELLING, chance.randbytes(chance.randint(1, 6)))
    return [(chance.choice(KINDS), chance.random(), chance.choice(values)) for _ in range(chance.randint(1, 6))]


def fuzz_images(runs: int, seed: int = 1) -> Counter[str]:
    """Send so many edited files through a pool of decoders; tells how they ended.

    Returns:
        Counts of `image`, of each kind of refusal, and of decoders ended by `crash`, `timeout` and `memory`. Any other
        failure is raised: it would have been a 500.
    """
    return asyncio.run(_fuzz(runs, random.Random(seed)))


async def _fuzz(runs: int, chance: random.Random) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    async with running_pool(decoders=2, max_pixels=1_000_000, decode_timeout_s=5.0) as pool:
        for _ in range(runs):
            file = edited(chance.choice(seeds()), random_edits(chance))
            try:
                await pool.decode(ImageSource(file), tile_px=TILE_PX, level=LEVEL)
                outcomes["image"] += 1
            except ServiceError as refusal:
                outcomes[type(refusal).__name__] += 1
        for reason in ("crash", "timeout", "memory", "killed"):
            outcomes[reason] = int(killed(pool, reason))
    return outcomes
