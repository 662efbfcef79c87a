"""Routes of moondream's and OpenAI's clients that Pheye does not offer, so that they learn what it does offer.

Owns the words of the refusal. Event loop.
"""

from __future__ import annotations

from typing import Any, NoReturn

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.api.openai.errors import TAG
from service.api.openapi.failures import REFUSED, problem_docs
from service.api.openapi.openai import NOT_OFFERED, openai_error_docs
from service.errors import NotOffered

router = APIRouter(prefix="/v1", tags=["not offered"])
DOCS: dict[str, Any] = {
    "status_code": 404,
    "response_model": None,
    "response_class": Response,
    "responses": problem_docs(401, 404, 413, 415, 429, failures=REFUSED),
}
OPENAI_DOCS: dict[str, Any] = DOCS | {
    "tags": [TAG],
    "responses": openai_error_docs(400, 401, 404, 413, 429, failures=NOT_OFFERED),
}


@router.post("/detect", **DOCS)
@router.post("/point", **DOCS)
@router.post("/segment", **DOCS)
async def not_offered(request: Request) -> NoReturn:
    """Refuse a request for boxes, points or masks, always with 404: Pheye answers in words.

    Whatever is sent is not read. The route is here so that moondream's clients learn what there is instead: ask where
    something is with `/v1/query`, or for a description with `/v1/caption`.
    """
    name = request.scope["path"].rpartition("/")[2]
    raise NotOffered(
        f"{name}: not offered; Pheye answers in words, with captions (/v1/caption) and "
        "answers to questions (/v1/query), and gives no boxes, points or masks"
    )


@router.post("/responses", **OPENAI_DOCS)
@router.post("/completions", **OPENAI_DOCS)
@router.post("/embeddings", **OPENAI_DOCS)
async def not_offered_of_openai(request: Request) -> NoReturn:
    """Refuse a request of OpenAI's other protocols, always with 404: chats are what is offered of them.

    Whatever is sent is not read. The route is here so that OpenAI's clients learn what there is instead: send the same
    as a chat to `/v1/chat/completions`.
    """
    name = request.scope["path"].rpartition("/")[2]
    raise NotOffered(f"/v1/{name} is not offered; use POST /v1/chat/completions")
