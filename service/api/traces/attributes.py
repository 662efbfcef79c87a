"""The attributes of spans, by OpenTelemetry's semantic conventions for HTTP and generative AI, and our own `pheye.*`.

Never has image bytes, keys, prompts, answers, or the query of an address. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.types import Scope

from service.api.edge.recording import Recording
from service.api.request_context import RequestContext
from service.api.request_log import PATH_CHARS
from service.configuration.plain_words import plain_value
from service.dispatch.reservation import AcceptedRow

PROVIDER = "pheye"
OTHER_METHOD = "_OTHER"
NO_ROUTE = "other"  # what metrics and log call a path that is none of the service's
METHODS = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")


def known_method(scope: Scope) -> str:
    """Name the method of a request; anybody may invent others, which are one."""
    return scope["method"] if scope["method"] in METHODS else OTHER_METHOD


def edge_attributes(scope: Scope, context: RequestContext, route: str) -> Mapping[str, Any]:
    """Describe a request that is over; its status is that of metrics and log, whatever its first line said."""
    host, port = scope.get("server") or (None, None)
    return _known({
        "http.response.status_code": context.status,
        "http.route": None if route == NO_ROUTE else route,
        "url.path": plain_value(scope["path"], PATH_CHARS),
        "network.protocol.version": scope.get("http_version"),
        "server.address": host,
        "server.port": port,
        "client.address": context.address or None,
        "pheye.request_id": context.id,
        "pheye.key": context.key_name or None,
        "pheye.priority": context.flow.priority,
        "pheye.inner": context.inner or None,
    })  # fmt: skip


def answer_name(context: RequestContext, recording: Recording) -> str:
    """Name the span of an answer: operation and model, as the conventions have it."""
    return f"{_operation(context)} {recording.model}"


def answer_attributes(context: RequestContext, recording: Recording, row: AcceptedRow) -> Mapping[str, Any]:
    """Describe an answer: what was asked of the model, without the words, and what it took."""
    sampling, end = row.row.sampling, row.end
    first_s = None if row.first_token_s is None else row.first_token_s - row.reservation.entered_s
    told: dict[str, Any] = {
        "gen_ai.operation.name": _operation(context),
        "gen_ai.provider.name": PROVIDER,
        "gen_ai.request.model": recording.model,
        "gen_ai.response.model": recording.model,
        "gen_ai.response.id": context.id,
        "gen_ai.output.type": "text",
        "gen_ai.request.max_tokens": sampling.max_tokens,
        "gen_ai.request.temperature": float(sampling.temperature),
        "gen_ai.request.top_p": float(sampling.top_p),
        "gen_ai.request.seed": sampling.seed,
        "gen_ai.request.stream": recording.stream,
        "gen_ai.response.time_to_first_chunk": first_s,
        "gen_ai.usage.output_tokens": len(row.tokens),
        "pheye.question": row.index,
        "pheye.choices": len(row.row.choices) or None,
    }
    if end is not None:
        told |= {
            "gen_ai.response.finish_reasons": (end.finish_reason,),
            "gen_ai.usage.input_tokens": end.usage.prompt_tokens,
            "gen_ai.usage.output_tokens": end.usage.completion_tokens,
            "pheye.image.tokens": end.usage.image_tokens,
            "pheye.image.tiles": end.usage.image_tiles,
            "pheye.image.features_cached": end.usage.image_features_cached,
            "pheye.queue_s": end.timings.queue_s,
            "pheye.encode_s": end.timings.encode_s,
            "pheye.prefill_s": end.timings.prefill_s,
            "pheye.decode_s": end.timings.decode_s,
        }
    return _known(told)


def _operation(context: RequestContext) -> str:
    return "chat" if context.openai else "generate_content"


def _known(told: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in told.items() if value is not None}
