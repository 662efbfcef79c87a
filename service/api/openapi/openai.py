"""Documentation of OpenAI's routes: their body, their stream of chunks, and every error.

Built from the models of `service.api.openai.request` and `service.api.openai.responses`: it cannot say anything else.
Pure; runs at import.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from model.request import FinishReason
from service.api.encoding import StreamItem, to_json
from service.api.openai.answer import DONE
from service.api.openai.errors import openai_error
from service.api.openai.ignored import HEADER
from service.api.openai.request import ChatRequest
from service.api.openai.responses import (
    ChatChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatDelta,
    ChatMessageFields,
    ChatUsage,
    ChunkChoice,
    ModelEntry,
    ModelList,
    OpenAIError,
    PheyeFields,
)
from service.api.openapi.answers import ID, IMAGE, MODEL
from service.api.openapi.examples import DISC
from service.api.openapi.failures import ERRORS as NATIVE_ERRORS
from service.api.openapi.failures import (
    EVERYWHERE,
    OF_MODELS,
    REFUSED,
    Failure,
    failure_headers,
    problem_docs,
)
from service.api.openapi.headers import header_docs
from service.api.openapi.native import SENT_IMAGE, answer_docs, event_stream, inlined, reference
from service.errors import (
    BadRequest,
    FetchFailed,
    InvalidField,
    ModelNotFound,
    NotFound,
    UnsupportedBody,
    UnsupportedCoding,
    UnsupportedImage,
    UnsupportedParameter,
)  # fmt: skip

UNSERVED = "model: no such model; the one served here is 'pheye-tiny'"
ERRORS: dict[int, Failure] = {k: each for k, each in NATIVE_ERRORS.items() if k not in (415, 422)} | {
    400: Failure(
        "The body is no JSON, a field is out of range or asks for what Pheye cannot do, or there is not exactly one "
        "image, or it cannot be read or fetched.",
        "temperature: must be at most 2",
        (
            InvalidField,
            BadRequest,
            UnsupportedParameter,
            UnsupportedImage,
            UnsupportedBody,
            UnsupportedCoding,
            FetchFailed,
        ),
    ),
    404: Failure(
        "Another model than the served one, or no image of yours has the id given as the image's URL.",
        UNSERVED,
        (ModelNotFound, NotFound),
    ),
}
ONE_MODEL = OF_MODELS | {404: Failure("The served model has another name.", UNSERVED, (ModelNotFound,))}
NOT_OFFERED = REFUSED | {
    400: REFUSED[415],
    404: replace(REFUSED[404], detail="/v1/embeddings is not offered; use POST /v1/chat/completions"),
}
_PARTS = [{"type": "text", "text": "What shape is it?"}, {"type": "image_url", "image_url": {"url": DISC}}]
_CHAT = {"messages": [{"role": "user", "content": _PARTS}], "max_completion_tokens": 20}
EXAMPLES = {
    "question": {"summary": "A question about an image", "value": _CHAT},
    "stream": {
        "summary": "The same as a stream, with the usage at its end",
        "value": _CHAT | {"stream": True, "stream_options": {"include_usage": True}},
    },
    "turns": {
        "summary": "Several turns; the image is in the first",
        "value": {
            "messages": [
                {"role": "system", "content": "Answer with one word."},
                {"role": "user", "content": _PARTS},
                {"role": "assistant", "content": "A circle."},
                {"role": "user", "content": "Which colour?"},
            ],
            "temperature": 0.7,
            "seed": 1,
            "stop": "\n",
        },
    },
}


CREATED = 1767225600
FINGERPRINT = "fp_5f7c1d20a94be386"
ENTRY = ModelEntry(id=MODEL, object="model", created=CREATED, owned_by="pheye")
MODELS = ModelList(object="list", data=[ENTRY])
COMPLETION = ChatCompletion(
    id=f"chatcmpl-{ID}",
    object="chat.completion",
    created=CREATED,
    model=MODEL,
    system_fingerprint=FINGERPRINT,
    choices=[
        ChatChoice(
            index=0,
            message=ChatMessageFields(role="assistant", content="It is a red circle.", refusal=None),
            finish_reason="stop",
            logprobs=None,
        )
    ],
    usage=ChatUsage(prompt_tokens=51, completion_tokens=8, total_tokens=59),
    pheye=PheyeFields(confidence=-0.000566, image=IMAGE, warnings=[]),
)


def _chunk(delta: ChatDelta, finish_reason: FinishReason | None = None) -> ChatCompletionChunk:
    return ChatCompletionChunk(
        id=f"chatcmpl-{ID}",
        object="chat.completion.chunk",
        created=CREATED,
        model=MODEL,
        system_fingerprint=FINGERPRINT,
        choices=[ChunkChoice(index=0, delta=delta, finish_reason=finish_reason)],
    )


_STREAM: tuple[StreamItem, ...] = (
    _chunk(ChatDelta(role="assistant", content="")),
    _chunk(ChatDelta(content="It is a red circle.")),
    _chunk(ChatDelta(), "stop"),
    DONE,
)


def openai_error_docs(*statuses: int, failures: Mapping[int, Failure] = ERRORS) -> dict[int | str, dict[str, Any]]:
    """Document the failures with these statuses, and those of any route; without statuses, every one of `failures`.

    What cannot be read as HTTP is refused before anybody knows the route, so that failure is a problem here too.
    """
    chosen = {status: failures[status] for status in statuses} | EVERYWHERE if statuses else dict(failures)
    docs: dict[int | str, dict[str, Any]] = {each: _error_docs(each, chosen[each]) for each in sorted(chosen)}
    return docs | {431: problem_docs(431)[431]}


def _error_docs(status: int, failure: Failure) -> dict[str, Any]:
    codes = dict.fromkeys(_code(replace(failure, kinds=(kind,))) for kind in failure.kinds)
    example = json.loads(to_json(openai_error(failure.example())))
    again = ["X-Should-Retry"] if status in (500, 504) else []
    return {
        "description": f"{failure.words} `code`: {', '.join(codes)}.",
        "content": {"application/json": {"schema": reference(OpenAIError), "example": example}},
        **header_docs(*failure_headers(status), *again),
    }


def _code(failure: Failure) -> str:
    code = openai_error(failure.example()).error.code
    return "null" if code is None else f"`{code}`"


def chat_docs() -> dict[str, Any]:
    """Build the arguments for the route that answers chats."""
    ok = answer_docs(
        "The answer; with `stream`, server-sent events, each `data: ` and a `ChatCompletionChunk`: one with the role, "
        "one for each new piece of text, one with the finish reason, with `include_usage` one with the usage, and last "
        "`data: [DONE]`. Lines that begin with a colon keep the connection alive. A failure after the first byte is an "
        'event `{"error": {...}}`, after which the stream ends without `[DONE]`.',
        COMPLETION,
        *(HEADER, "Server-Timing", SENT_IMAGE),
    )
    ok[200]["content"] |= event_stream(_STREAM, ChatCompletionChunk, OpenAIError, last_word=DONE)
    body = {"application/json": {"schema": inlined(ChatRequest.model_json_schema()), "examples": EXAMPLES}}
    words = "JSON as OpenAI's clients send it. The image is a data URI, the id of an uploaded image, or a URL."
    return {
        "responses": {**ok, **openai_error_docs()},
        "openapi_extra": {"requestBody": {"description": words, "required": True, "content": body}},
    }
