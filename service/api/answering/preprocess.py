"""Preprocessing of the image that a request asks about: fetched, decoded and cut, under the key of its owner.

Knows no answer. Event loop; the image is decoded in another process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.types import Scope

from model.pixels.tiles import TiledImage
from service.api.bodies.request_body import AskedImage
from service.api.edge.affinity import hashed_promptly
from service.api.image_store import owned_by
from service.api.parts import ServiceParts
from service.api.request_context import RequestContext, context_of
from service.dispatch.reservation import Reservation
from service.fetching.urls import ImageLink
from service.images import ImageSource


async def tiled(parts: ServiceParts, image: AskedImage, reservation: Reservation, scope: Scope) -> TiledImage:
    """Make an image ready for the model: fetched if it is a link, and decoded unless it was stored before.

    It gets the key under which its owner alone finds its features, unless all owners share them.

    Raises:
        ServiceError: the model is loading, the reservation's time is over, or as `ImageFetcher.fetched` and
            `DecoderPool.decode` say.
    """
    card = parts.queue.loaded()
    if isinstance(image, TiledImage):
        return image
    context = context_of(scope)
    try:
        async with asyncio.timeout(reservation.left_s), _file_of(parts, image, context) as file:
            started_s = time.monotonic()
            with context.timed("preprocess"):
                image_file = await hashed_promptly(file, parts.hashing)
                context.image_digest = image_file.digest
                done = await parts.decoders.decode(
                    image_file.file, tile_px=card.tile_px, level=card.level, client=context.client
                )
    except TimeoutError:
        raise reservation.expired() from None
    parts.metrics.preprocess_seconds.observe(time.monotonic() - started_s, context.exemplar)
    return done if parts.settings.share_image_features else owned_by(context.owner, done)


@asynccontextmanager
async def _file_of(
    parts: ServiceParts, image: ImageSource | ImageLink, context: RequestContext
) -> AsyncGenerator[ImageSource]:
    if not isinstance(image, ImageLink):
        yield image
        return
    async with AsyncExitStack() as stack:
        with context.timed("fetch"):
            file = await stack.enter_async_context(parts.fetcher.fetched(image, context.client))
        yield file
