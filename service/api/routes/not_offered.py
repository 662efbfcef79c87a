"""`/v1/detect`, `/v1/point` and `/v1/segment`: routes of moondream's clients that Pheye does not offer.

Owns the words of the refusal. Event loop.
"""

from __future__ import annotations

from typing import Any, NoReturn

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.api.openapi.native import ERRORS, Failure, problem_docs
from service.errors import NotOffered

router = APIRouter(prefix="/v1", tags=["not offered"])
DOCS: dict[str, Any] = {
    "status_code": 404,
    "response_model": None,
    "response_class": Response,
    "responses": problem_docs(401, 404, 413, failures=ERRORS | {404: Failure(NotOffered, "The only answer there is")}),
}


@router.post("/detect", **DOCS)
@router.post("/point", **DOCS)
@router.post("/segment", **DOCS)
async def not_offered(request: Request) -> NoReturn:
    """Refuse a request for boxes, points or masks, always with 404: Pheye answers in words."""
    name = request.scope["path"].rpartition("/")[2]
    raise NotOffered(
        f"{name}: not offered; Pheye answers in words, with captions (/v1/caption) and "
        "answers to questions (/v1/query), and gives no boxes, points or masks"
    )
