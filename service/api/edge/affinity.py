"""Affinity of images behind several servers: the header by which a proxy sends an image to the same server each time.

Owns its name and its value. The value is computed before an image is decoded, and from the file alone, so that a client
can compute it too. A request's own header is the proxy's business: the service does not read it.
"""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import Executor

from service.images import ImageSource

HEADER = "X-Pheye-Image-Digest"
INLINE_BYTES = 65_536  # hashed on the event loop, in some 0.1 ms; a larger file on a thread


def digest_of(image: ImageSource) -> str:
    """Return the SHA-256 of an image file in hexadecimal, which `sha256sum` prints, however the file was sent.

    Raises:
        BadRequest: the text's base64 is broken.

    >>> digest_of(ImageSource(b"GIF89a")) == digest_of(ImageSource("data:image/gif;base64,R0lGODlh"))
    True
    """
    return hashlib.sha256(image.file_bytes()).hexdigest()


async def digest_promptly(image: ImageSource, executor: Executor) -> str:
    """Return `digest_of` an image without holding the event loop up.

    Raises:
        BadRequest: the text's base64 is broken.
    """
    if len(image.content) <= INLINE_BYTES:
        return digest_of(image)
    return await asyncio.get_running_loop().run_in_executor(executor, digest_of, image)
