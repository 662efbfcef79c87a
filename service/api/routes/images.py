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
from service.api.openapi.answers import CARD, CARDS
from service.api.openapi.failures import OF_IDS, UPLOADS, problem_docs
from service.api.openapi.native import SENT_IMAGE, answer_docs, body_docs
from service.api.parts import Parts, ServiceParts
from service.api.request_context import context_of
from service.api.uploaded_images import UploadedImage
from service.schemas.requests import ImageUpload
from service.schemas.responses import ImageCard, ImageFields, ImageList

LISTED = 1000  # images at once

router = APIRouter(prefix="/v1", tags=["images"])


@router.post(
    "/images",
    status_code=201,
    responses={
        **answer_docs("The image is kept; its card.", CARD, "Location", SENT_IMAGE, status=201),
        **problem_docs(failures=UPLOADS),
    },
    openapi_extra=body_docs(ImageUpload),
)
async def upload_image(request: Request, response: Response, parts: Parts) -> ImageCard:
    """Keep an image, to be named by its id in later requests.

    Send the image and nothing else. It is encoded at once, so that the first question about it need not wait. What
    comes back is 201 with a card; `/v1/vqa` and its neighbours take its `id` as `image_url`, until `expires_in_s` has
    passed or newer images need the room. The same pixels get the same id, and their time begins anew. Use it if you ask
    about an image more than once; for a single question send the image with the question.
    """
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


@router.get(
    "/images",
    responses={**answer_docs("The cards of your images.", CARDS), **problem_docs(401, 503, failures=OF_IDS)},
)
async def images(request: Request, parts: Parts) -> ImageList:
    """List your images, most recently used last.

    Yours are those uploaded with the same key, or with one of the same group; where no keys are asked for, everybody's.
    Send nothing. What comes back is one JSON object with the cards of the 1,000 images used last; there are no further
    pages, and being listed does not count as use. If you know the id, use `/v1/images/{image_id}`.
    """
    mine = await parts.images.owned(context_of(request.scope), LISTED)
    return ImageList(images=[_card(parts, stored) for stored in mine])


@router.get(
    "/images/{image_id}",
    responses={**answer_docs("The image's card.", CARD), **problem_docs(401, 404, 503, failures=OF_IDS)},
)
async def image(request: Request, parts: Parts, image_id: str) -> ImageCard:
    """Describe one of your images.

    Send its id in the path. What comes back is the card that the upload had, with the seconds that are left and whether
    a question now would wait for the vision encoder. This does not count as use, and does not prolong its time: upload
    the image again for that. To learn the ids use `/v1/images`.
    """
    return _card(parts, await parts.images.find(context_of(request.scope), image_id))


@router.delete(
    "/images/{image_id}",
    status_code=204,
    response_class=Response,
    responses={
        204: {"description": "The image is gone; there is no body."},
        **problem_docs(401, 404, 503, failures=OF_IDS),
    },
)
async def delete_image(request: Request, parts: Parts, image_id: str) -> None:
    """Drop one of your images, and its features unless somebody else has uploaded it too.

    Send its id in the path; what comes back has no body. Requests that were accepted before are answered all the same,
    and the same id is a 404 from then on. An image goes by itself when its time has passed; use this to be rid of it
    now, and `/v1/images` to learn the ids.
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
