"""Health checks and monitoring: `/livez` (liveness), `/readyz` (readiness), `/metrics`, and `/v1` with the limits.

Other servers call readiness `/health`, `/healthz` or `/ping`: those are the same here, and in no document.

Answers from what the queue knows, at once, whatever the model is doing. Event loop.
"""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from model.about import About
from service.api.access.keys import KEYLESS
from service.api.edge.rewriting import link_to
from service.api.openapi.answers import ALIVE, METRICS, READY, SERVICE
from service.api.openapi.failures import READINESS, problem_docs
from service.api.openapi.headers import header_docs
from service.api.openapi.native import answer_docs
from service.api.parts import Parts
from service.api.request_log import keep_quiet
from service.decoding.formats.known import readable_formats
from service.errors import Unavailable
from service.messages.from_worker import ModelCard
from service.schemas.service_card import Alive, LimitFields, ModelFields, ReadyCard, SampleFields, ServiceCard

router = APIRouter(tags=["service"])


QUIET = [Depends(keep_quiet)]
METRIC_TYPES = ("text/plain", "application/openmetrics-text")
_TEXT = {
    "description": "All metrics as text.",
    "content": {kind: {"schema": {"type": "string"}, "example": METRICS} for kind in METRIC_TYPES},
    **header_docs("Vary"),
}


@router.get(
    "/livez",
    dependencies=QUIET,
    openapi_extra=KEYLESS,
    responses={**answer_docs("The process answers.", ALIVE), **problem_docs(431, 500)},
)
async def livez() -> Alive:
    """Check liveness: this process answers.

    Send nothing, and no key. What comes back is the same small JSON object each time, also while the model loads. A
    probe that fails calls for a restart; to learn whether to send requests here, use `/readyz`.
    """
    return Alive(status="alive")


@router.get("/health", dependencies=QUIET, openapi_extra=KEYLESS, include_in_schema=False)
@router.get("/healthz", dependencies=QUIET, openapi_extra=KEYLESS, include_in_schema=False)
@router.get("/ping", dependencies=QUIET, openapi_extra=KEYLESS, include_in_schema=False)
@router.get(
    "/readyz",
    dependencies=QUIET,
    openapi_extra=KEYLESS,
    responses={**answer_docs("New requests are accepted.", READY), **problem_docs(503, failures=READINESS)},
)
async def readyz(parts: Parts) -> ReadyCard:
    """Check readiness: weights loaded, warmed up, engine making progress, not shutting down.

    Send nothing, and no key. What comes back is 200 with the model and where it runs, or 503 with the reason and a
    `Retry-After`. Load balancers use it to choose where requests go, and scripts to wait for a start; to decide on a
    restart use `/livez`. `/health`, `/healthz` and `/ping` are the same.
    """
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
    responses={200: _TEXT, **problem_docs(401)},
)
async def metrics(request: Request, parts: Parts) -> Response:
    """Read all metrics in Prometheus' text format, or as OpenMetrics if `Accept` asks for it.

    Send nothing but a key, where keys are asked for; `Accept: application/openmetrics-text` chooses OpenMetrics. What
    comes back is text, all of it at once, with a line for each value; names of the service's own begin with `pheye_`.
    It is for Prometheus and its like; a probe uses `/readyz`.
    """
    parts.metrics.describe_build(request.app.version, parts.queue.card)
    parts.metrics.ready.set(parts.not_ready() is None)
    content, content_type = parts.metrics.render(request.headers.get("accept", ""))
    return Response(content, headers={"Content-Type": content_type, "Vary": "Accept"})


@router.get("/v1", responses={**answer_docs("The card of the service.", SERVICE), **problem_docs(401)})
async def index(request: Request, parts: Parts) -> ServiceCard:
    """Describe this service: version, model, limits, and where its documentation is.

    Send nothing. What comes back is one JSON object with what the model knows, how much one request may ask for, and
    the paths of the main routes; while the model loads, `model` is null. It is the entrance for programs; clients that
    speak OpenAI's protocol use `/v1/models`, and probes `/readyz`.
    """
    card, settings = parts.queue.card, parts.settings
    limits = LimitFields(
        questions=settings.most_questions,
        body_bytes=settings.most_body_bytes,
        pixels=settings.max_pixels,
        formats=readable_formats(),
        image_urls=bool(settings.image_hosts),
        deadline_s=settings.deadline_s,
    )
    links = {
        name: link_to(request, route)
        for name, route in {
            "caption": "caption", "vqa": "vqa", "query": "query", "chat_completions": "chat_completions",
            "models": "models", "images": "images", "estimate": "estimate_request", "live": "livez", "ready": "readyz",
            "metrics": "metrics", "docs": "docs", "openapi": "openapi", "playground": "playground",
        }.items()
    }  # fmt: skip
    model = _model(card) if card else None
    return ServiceCard(name="pheye", version=request.app.version, model=model, limits=limits, links=links)


def _model(card: ModelCard) -> ModelFields:
    about = card.about or About(knows="")
    return ModelFields(
        name=card.name,
        knows=about.knows or None,
        outside_answer=about.outside_answer,
        questions=list(about.questions),
        samples=[
            SampleFields(title=sample.title, file=sample.file, questions=list(sample.questions))
            for sample in about.samples
        ],
    )
