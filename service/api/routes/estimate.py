"""`/v1/estimate`: the cost of a caption or an answer, without running it.

Gathers what `service.api.answering.estimate` has to be told. Event loop; prompts are counted in threads that clients
share fairly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter, Request

from model.pixels.tiles import TiledImage
from model.prompt import caption_instruction
from service.api.answering.estimate import AskedRow, CurrentLoad, estimate
from service.api.answering.preprocess import tiled
from service.api.answering.room import asked_rows
from service.api.bodies.request_body import AskedImage, read_maybe_ask
from service.api.connections.disconnect import unless_hung_up
from service.api.openapi.answers import ESTIMATE
from service.api.openapi.failures import ESTIMATES, problem_docs
from service.api.openapi.native import SENT_IMAGE, answer_docs, body_docs
from service.api.parts import Parts, ServiceParts
from service.api.request_context import context_of
from service.api.routes.caption_vqa import question_instructions, rows_asked
from service.errors import DeadlineExceeded
from service.messages.rows import Row
from service.schemas.estimate import Estimate
from service.schemas.requests import EstimateRequest

router = APIRouter(prefix="/v1", tags=["images"])


@router.post(
    "/estimate",
    responses={
        **answer_docs("The cost, had the request been sent now.", ESTIMATE, SENT_IMAGE),
        **problem_docs(failures=ESTIMATES),
    },
    openapi_extra=body_docs(EstimateRequest, image_needed=False),
)
async def estimate_request(request: Request, parts: Parts) -> Estimate:
    """Estimate the cost of a caption or an answer without running it.

    Send the body that you would send to `/v1/vqa`, or without a question to `/v1/caption`; the image may be left out.
    What comes back is one JSON object, never a stream: tiles, tokens, floating-point operations, bytes, and the seconds
    that an answer of `max_tokens` would take at this server's recent speed. The image is read and cut into tiles, but
    not encoded. Use it before a large batch, or to choose `max_tokens`; `usage` and `timings` of an answer tell what it
    did cost.
    """
    ask = await read_maybe_ask(request, EstimateRequest)
    fields, queue = ask.fields, parts.queue
    context_of(request.scope).priority = fields.priority
    card = queue.loaded()
    asked = (
        [caption_instruction(fields.length, fields.style)]
        if fields.is_caption
        else question_instructions(parts, fields)
    )
    preparing = _prepared(request, parts, rows_asked(parts, fields, asked), ask.image)
    rows, image = await unless_hung_up(request.receive, preparing)
    cached_tiles = None if image is None else queue.workers.cached_tiles(image)
    wait_s = queue.wait_s(context_of(request.scope).flow)
    return estimate(card, rows, CurrentLoad(queue.workers.costs(), wait_s, cached_tiles), image)


async def _prepared(
    request: Request, parts: ServiceParts, rows: Sequence[Row], image: AskedImage | None
) -> tuple[list[AskedRow], TiledImage | None]:
    """Return the counted rows and the decoded image, if there is one.

    Raises:
        DeadlineExceeded: others' work, or this, has taken too long.
    """
    deadline_s, client = parts.settings.deadline_s, context_of(request.scope).client
    try:
        async with asyncio.timeout(deadline_s):
            counted = await asked_rows(parts, rows, client)
            return counted, None if image is None else await _tiled(request, parts, image)
    except TimeoutError:
        parts.queue.count_drop("deadline")
        raise DeadlineExceeded(f"no estimate within {deadline_s:g} s") from None


async def _tiled(request: Request, parts: ServiceParts, image: AskedImage) -> TiledImage:
    """Return the image asked about, decoded; it is refused when too many requests wait already."""
    if isinstance(image, TiledImage):
        return image
    with parts.queue.reserve(1, context_of(request.scope).flow) as reservation:
        return await tiled(parts, image, reservation, request.scope)
