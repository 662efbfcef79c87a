"""Affinity of images behind several servers: the digest by which a proxy sends an image to the same server each time.

It is computed before an image is decoded, and from the file alone, so that a client can compute it too. A request's own
header is the proxy's business: the service does not read it.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor

from service.images import HashedImage, ImageSource, hashed

INLINE_BYTES = 65_536  # hashed on the event loop, in some 0.1 ms; a larger file on a thread


async def hashed_promptly(image: ImageSource, executor: Executor) -> HashedImage:
    """Return an image's file and its digest without holding the event loop up; base64 is decoded here, once.

    Raises:
        BadRequest: the text's base64 is broken.
    """
    if len(image.content) <= INLINE_BYTES:
        return hashed(image)
    return await asyncio.get_running_loop().run_in_executor(executor, hashed, image)
