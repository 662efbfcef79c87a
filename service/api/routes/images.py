"""`/v1/images`: upload an image once, then name it by its id in as many requests as you like.

Owns what becomes of an image's features when it comes and goes; `service.api.image_store` owns the images. Event loop.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from model.complexity import feature_bytes
from service.api.connections.disconnect import unless_hung_up
from service.api.edge.rewriting import link_to
from service.api.image_store import StoredImage
from service.api.openapi.native import body_docs, problem_docs
from service.api.parts import Parts, ServiceParts
from service.api.reply import tiled
from service.api.request_body import read_ask
from service.api.request_context import context_of
from service.schemas.requests import ImageUpload
from service.schemas.responses import ImageCard, ImageFields, ImageList

LISTED = 1000  # images at once

router = APIRouter(prefix="/v1", tags=["images"])


@router.post("/images", status_code=201, responses=problem_docs(), openapi_extra=body_docs(ImageUpload))
async def upload_image(request: Request, response: Response, parts: Parts) -> ImageCard:
    """Keep an image and begin to encode it; the same pixels get the same id, and their time begins anew."""
    ask = await read_ask(request, ImageUpload)
    card = parts.queue.loaded()
    parts.images.check_room(card.image_tiles * card.tile_px**2 * 3)  # a byte for each of red, green and blue
    context = context_of(request.scope)
    with parts.queue.reserve(1, context.flow) as reservation:  # uploads are refused like questions when too many wait
        decoding = tiled(parts, ask.image, reservation, request.scope)
        image = await unless_hung_up(request.receive, decoding)
    stored = parts.images.put(context.owner, image)
    parts.queue.deletions.revoke(image.image_key)
    if feature_bytes(card.config, card.dtype) <= card.feature_cache_bytes:  # else nobody could keep them
        parts.queue.workers.prefetch(image)
    response.headers["Location"] = link_to(request, "image", image_id=stored.id)
    return _card(parts, stored)


@router.get("/images", responses=problem_docs(401))
async def images(request: Request, parts: Parts) -> ImageList:
    """List your images, those uploaded with the same key: the 1,000 used last, most recently used last."""
    mine = parts.images.owned(context_of(request.scope).owner, LISTED)
    return ImageList(images=[_card(parts, stored) for stored in mine])


@router.get("/images/{image_id}", responses=problem_docs(401, 404))
async def image(request: Request, parts: Parts, image_id: str) -> ImageCard:
    """Describe one of your images; does not count as use."""
    return _card(parts, parts.images.find(context_of(request.scope).owner, image_id))


@router.delete("/images/{image_id}", status_code=204, response_class=Response, responses=problem_docs(401, 404))
async def delete_image(request: Request, parts: Parts, image_id: str) -> None:
    """Drop an image, and its features everywhere unless somebody else has uploaded it too.

    Requests that were accepted before are answered all the same.
    """
    gone = parts.images.remove(context_of(request.scope).owner, image_id)
    if not parts.images.holds(gone.image_key):
        parts.queue.deletions.delete(gone.image_key)


def _card(parts: ServiceParts, stored: StoredImage) -> ImageCard:
    model = parts.queue.loaded()
    return ImageCard(
        id=stored.id,
        width_px=stored.image.width_px,
        height_px=stored.image.height_px,
        image_tiles=model.image_tiles,
        image_tokens=model.image_tokens,
        held_bytes=stored.held_bytes,
        expires_in_s=round(parts.images.expires_in_s(stored), 3),
        features_resident=parts.queue.workers.resident(stored.image.image_key),
        image=ImageFields.of(stored.image),
        warnings=list(stored.image.facts.warnings),
    )
