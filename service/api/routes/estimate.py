"""`/v1/estimate`: the cost of a caption or an answer, without running it.

Gathers what `service.api.answering.estimate` has to be told. Event loop; prompts are counted in threads.
"""

from __future__ import annotations

import asyncio
from functools import partial

from fastapi import APIRouter, Request

from model.pixels.tiles import TiledImage
from model.prompt import caption_instruction
from service.api.answering.estimate import CurrentLoad, estimate
from service.api.answering.preprocess import tiled
from service.api.answering.room import asked_rows
from service.api.bodies.request_body import AskedImage, read_maybe_ask
from service.api.connections.disconnect import unless_hung_up
from service.api.openapi.native import body_docs, problem_docs
from service.api.parts import Parts, ServiceParts
from service.api.request_context import context_of
from service.api.routes.caption_vqa import question_instructions, rows_asked
from service.schemas.estimate import Estimate
from service.schemas.requests import EstimateRequest

router = APIRouter(prefix="/v1", tags=["images"])


@router.post("/estimate", responses=problem_docs(), openapi_extra=body_docs(EstimateRequest, image_needed=False))
async def estimate_request(request: Request, parts: Parts) -> Estimate:
    """Estimate the cost of the same body as a caption, or as an answer if it has a question. Nothing is run for it."""
    ask = await read_maybe_ask(request, EstimateRequest)
    fields, queue = ask.fields, parts.queue
    context_of(request.scope).priority = fields.priority
    card = queue.loaded()
    asked = (
        [caption_instruction(fields.length, fields.style)]
        if fields.is_caption
        else question_instructions(parts, fields)
    )
    count = partial(asked_rows, queue, rows_asked(parts, fields, asked), card.context_tokens)
    rows = await asyncio.get_running_loop().run_in_executor(parts.executor, count)
    image = None if ask.image is None else await _tiled(request, parts, ask.image)
    cached_tiles = None if image is None else queue.workers.cached_tiles(image)
    wait_s = queue.wait_s(context_of(request.scope).flow)
    return estimate(card, rows, CurrentLoad(queue.workers.costs(), wait_s, cached_tiles), image)


async def _tiled(request: Request, parts: ServiceParts, image: AskedImage) -> TiledImage:
    """Return the image asked about, decoded; it is refused when too many requests wait already."""
    if isinstance(image, TiledImage):
        return image
    with parts.queue.reserve(1, context_of(request.scope).flow) as reservation:
        return await unless_hung_up(request.receive, tiled(parts, image, reservation, request.scope))
