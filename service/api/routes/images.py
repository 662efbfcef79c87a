"""`/v1/images`: upload an image once, then name it by its id in as many requests as you like.

Owns what becomes of an image's features when it comes and goes; `service.api.uploaded_images` owns the images. Event
loop.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from model.complexity import feature_bytes
from service.api.answering.preprocess import tiled
from service.api.bodies.request_body import read_ask
from service.api.connections.disconnect import unless_hung_up
from service.api.edge.rewriting import link_to
from service.api.openapi.native import OF_IDS, body_docs, problem_docs
from service.api.parts import Parts, ServiceParts
from service.api.request_context import context_of
from service.api.uploaded_images import UploadedImage
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
    stored = await parts.images.put(context, image)
    parts.queue.deletions.revoke(image.image_key)
    if feature_bytes(card.config, card.dtype) <= card.feature_cache_bytes:  # else nobody could keep them
        parts.queue.workers.prefetch(image)
    response.headers["Location"] = link_to(request, "image", image_id=stored.id)
    return _card(parts, stored)


@router.get("/images", responses=problem_docs(401, 503, failures=OF_IDS))
async def images(request: Request, parts: Parts) -> ImageList:
    """List your images, those uploaded with the same key: the 1,000 used last, most recently used last."""
    mine = await parts.images.owned(context_of(request.scope), LISTED)
    return ImageList(images=[_card(parts, stored) for stored in mine])


@router.get("/images/{image_id}", responses=problem_docs(401, 404, 503, failures=OF_IDS))
async def image(request: Request, parts: Parts, image_id: str) -> ImageCard:
    """Describe one of your images; does not count as use."""
    return _card(parts, await parts.images.find(context_of(request.scope), image_id))


@router.delete(
    "/images/{image_id}",
    status_code=204,
    response_class=Response,
    responses=problem_docs(401, 404, 503, failures=OF_IDS),
)
async def delete_image(request: Request, parts: Parts, image_id: str) -> None:
    """Drop an image, and its features everywhere unless somebody else has uploaded it too.

    Requests that were accepted before are answered all the same.
    """
    nobodys = await parts.images.remove(context_of(request.scope), image_id)
    if nobodys is not None:
        parts.queue.deletions.delete(nobodys)


def _card(parts: ServiceParts, stored: UploadedImage) -> ImageCard:
    model = parts.queue.loaded()
    return ImageCard(
        id=stored.id,
        width_px=stored.width_px,
        height_px=stored.height_px,
        image_tiles=model.image_tiles,
        image_tokens=model.image_tokens,
        held_bytes=stored.held_bytes,
        expires_in_s=round(stored.expires_in_s, 3),
        features_resident=parts.queue.workers.resident(stored.image_key),
        image=ImageFields.of(stored),
        warnings=list(stored.facts.warnings),
    )
