"""Health checks and monitoring: `/livez` (liveness), `/readyz` (readiness), `/metrics`, and `/v1` with the limits.

Answers from what the queue knows, at once, whatever the model is doing. Event loop.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST

from service.api.access.keys import KEYLESS
from service.api.openapi.native import problem_docs
from service.api.parts import Parts
from service.api.request_context import context_of
from service.errors import Unavailable
from service.schemas.responses import Alive, LimitFields, ReadyCard, ServiceCard

router = APIRouter(tags=["service"])


async def _quiet(request: Request) -> None:
    """Keep a request that is made every few seconds out of the access log while all is well."""
    context_of(request.scope).quiet = True


QUIET = [Depends(_quiet)]


@router.get("/livez", dependencies=QUIET, openapi_extra=KEYLESS)
async def livez() -> Alive:
    """Check liveness: this process answers. A probe that fails calls for a restart. Needs no key."""
    return Alive(status="alive")


@router.get("/readyz", dependencies=QUIET, openapi_extra=KEYLESS, responses=problem_docs(503))
async def readyz(parts: Parts) -> ReadyCard:
    """Check readiness: weights loaded, warmed up, engine making progress, not shutting down. Needs no key."""
    reason = parts.not_ready()
    if reason is not None:
        raise Unavailable(reason)
    card = parts.queue.loaded()
    return ReadyCard(
        status="ready",
        model=card.name,
        device=card.device,
        dtype=card.dtype,
        parameters=card.parameters,
        slots=card.slots,
        context_tokens=card.context_tokens,
        image_tiles=card.image_tiles,
        image_tokens=card.image_tokens,
    )


@router.get(
    "/metrics",
    dependencies=QUIET,
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problem_docs(401)},
)
async def metrics(request: Request, parts: Parts) -> Response:
    """Read all metrics in Prometheus' text format."""
    parts.metrics.describe_build(request.app.version, parts.queue.card)
    parts.metrics.ready.set(parts.not_ready() is None)
    return Response(parts.metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})


@router.get("/v1", responses=problem_docs(401))
async def index(request: Request, parts: Parts) -> ServiceCard:
    """Describe this service: version, model, limits, and where its documentation is."""
    card, settings = parts.queue.card, parts.settings
    limits = LimitFields(
        questions=min(settings.max_questions, settings.max_waiting),  # all of them wait at first
        body_bytes=settings.max_body_bytes,
        deadline_s=settings.deadline_s,
    )
    links: dict[str, Any] = {
        name: str(request.app.url_path_for(route))
        for name, route in {
            "caption": "caption", "vqa": "vqa", "images": "images", "estimate": "estimate_request", "live": "livez",
            "ready": "readyz", "metrics": "metrics", "docs": "docs", "openapi": "openapi",
            "playground": "playground",
        }.items()
    }  # fmt: skip
    name = card.name if card else None
    return ServiceCard(name="pheye", version=request.app.version, model=name, limits=limits, links=links)
