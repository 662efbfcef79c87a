"""The line in the log for each request: who asked what kind of thing, what it took, how it ended.

Owns the fields of the JSON form and the words of the text form. Never has image bytes or keys, and texts only where a
setting asks for them. Event loop.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import Request
from starlette.routing import BaseRoute

from service.api.request_context import RequestContext, context_of
from service.configuration.plain_words import DETAIL_CHARS, plain_value
from service.dispatch.reservation import AcceptedRow

PATH_CHARS = 200
HUNG_UP = 499
# Statuses whose detail is in the service's own words: limits, keys, time, and what is its own fault.
OWN_WORDS = (401, 408, 429)

access_logger = logging.getLogger("pheye.access")


async def keep_quiet(request: Request) -> None:
    """Keep a request that is made every few seconds out of the access log while all is well: a route's dependency."""
    context_of(request.scope).quiet = True


def is_quiet(route: BaseRoute | None) -> bool:
    """Say whether a route's requests are made every few seconds; the log leaves them out, and traces do."""
    return any(each.dependency is keep_quiet for each in getattr(route, "dependencies", ()))


def log_request(context: RequestContext, method: str, path: str, route: str, level: int) -> None:
    """Write the line of a request that is over."""
    if not access_logger.isEnabledFor(level):
        return
    texts = f" {context.texts!r}" if context.texts else ""
    access_logger.log(
        level,
        "%s %s %.200r %s %.3fs%s%s", context.log_name, method, path, context.status, context.age_s,
        f" {context.shown_client}" if context.shown_client else "", texts,
        extra=_fields(context, method, path, route),
    )  # fmt: skip


def _fields(context: RequestContext, method: str, path: str, route: str) -> dict[str, Any]:
    told: dict[str, Any] = {
        "event": "request",  # in place of the words of the text form
        "request_id": context.id,
        "trace_id": context.trace.trace_id if context.trace else None,
        "span_id": context.trace.span_id if context.trace else None,
        "key": context.key_name or None,
        "client": context.address or None,
        "method": method,
        "route": route,
        "path": plain_value(path, PATH_CHARS),
        "status": context.status,
        "duration_s": round(context.age_s, 6),
        "reason": context.refused_as or ("disconnect" if context.status == HUNG_UP else None),
        "detail": (context.refused_because or None) if _may_tell(context) else None,
        "inner": context.inner or None,
    }
    return {name: value for name, value in (told | context.work | context.texts).items() if value is not None}


def _may_tell(context: RequestContext) -> bool:
    return context.status in OWN_WORDS or context.status >= 500 or context.tell_texts


def work_of(rows: Sequence[AcceptedRow], preprocess_s: float | None) -> dict[str, Any]:
    """Say what a request's answers have taken so far, or altogether; times are those of the row that took longest.

    Args:
        rows: as they were accepted; none if the request did not come so far.
        preprocess_s: seconds to decode and tile the image; None if that is not done.
    """
    ends = [row.end for row in rows if row.end is not None]
    told: dict[str, Any] = {"preprocess_s": preprocess_s}
    if rows:
        told |= {
            "questions": len(rows),
            "completion_tokens": sum(end.usage.completion_tokens for end in ends)
            + sum(len(row.tokens) for row in rows if row.end is None),
            "queue_s": max(map(_queue_s, rows)),
        }
    if ends:
        told |= {
            "prompt_tokens": sum(end.usage.prompt_tokens for end in ends),
            "image_tokens": max(end.usage.image_tokens for end in ends),
            "image_tiles": max(end.usage.image_tiles for end in ends),
            "cached_tiles": min(end.usage.image_tiles_cached for end in ends),
            "cache_hit": all(end.usage.image_features_cached for end in ends),
            "encode_s": max(end.timings.encode_s for end in ends),
            "prefill_s": max(end.timings.prefill_s for end in ends),
            "decode_s": max(end.timings.decode_s for end in ends),
        }
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in told.items()}


def _queue_s(row: AcceptedRow) -> float:
    return row.wait.so_far_s if row.end is None else row.end.timings.queue_s


def texts_of(prompts: Sequence[str], answers: Sequence[str]) -> dict[str, Any]:
    """Show prompts and answers, each in one line and not endless."""
    return {
        "prompts": [plain_value(text, DETAIL_CHARS) for text in prompts],
        "answers": [plain_value(text, DETAIL_CHARS) for text in answers],
    }
