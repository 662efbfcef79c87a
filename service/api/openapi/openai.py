"""Documentation of OpenAI's routes: their body, their stream of chunks, and every error.

Built from the models of `service.api.openai.request` and `service.api.openai.responses`: it cannot say anything else.
Pure; runs at import.
"""

from __future__ import annotations

from typing import Any

from model.request import FinishReason
from service.api.encoding import StreamItem
from service.api.openai.answer import DONE
from service.api.openai.ignored import HEADER
from service.api.openai.request import ChatRequest
from service.api.openai.responses import ChatCompletion, ChatCompletionChunk, ChatDelta, ChunkChoice, OpenAIError
from service.api.openapi.examples import DISC
from service.api.openapi.native import ERRORS as NATIVE_ERRORS
from service.api.openapi.native import event_stream, failure_headers, inlined, reference

ERRORS = {status: failure.words for status, failure in NATIVE_ERRORS.items() if status not in (415, 422)} | {
    400: "Malformed JSON, a field that is out of range or asks for what Pheye cannot do, or an image it cannot read",
    404: "Another model than the served one, or an image id that is unknown or has expired",
}
IGNORED_WORDS = "Fields that were sent and have no effect, such as `messages[].name,top_k`; absent if there are none."
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
                {"role": "assistant", "content": "A disc."},
                {"role": "user", "content": "Which colour?"},
            ],
            "temperature": 0.7,
            "seed": 1,
            "stop": "\n",
        },
    },
}


def _chunk(delta: ChatDelta, finish_reason: FinishReason | None = None) -> ChatCompletionChunk:
    return ChatCompletionChunk(
        id="chatcmpl-6c0e",
        object="chat.completion.chunk",
        created=1767225600,
        model="pheye-tiny",
        system_fingerprint="fp_5f7c1d20a94be386",
        choices=[ChunkChoice(index=0, delta=delta, finish_reason=finish_reason)],
    )


_STREAM: tuple[StreamItem, ...] = (
    _chunk(ChatDelta(role="assistant", content="")),
    _chunk(ChatDelta(content="A disc.")),
    _chunk(ChatDelta(), "stop"),
    DONE,
)


def openai_error_docs(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Document error responses; without arguments, all that a chat can get."""
    content = {"application/json": {"schema": reference(OpenAIError)}}
    return {
        status: {"description": ERRORS[status], "content": content, **failure_headers(status)}
        for status in statuses or ERRORS
    }


def chat_docs() -> dict[str, Any]:
    """Build the arguments for the route that answers chats."""
    ok = {
        "description": "The answer; with `stream`, server-sent events, each `data: ` and a `ChatCompletionChunk`: one "
        "with the role, one for each new piece of text, one with the finish reason, with `include_usage` one with the "
        "usage, and last `data: [DONE]`. Lines that begin with a colon keep the connection alive. A failure after the "
        'first byte is an event `{"error": {...}}`, after which the stream ends without `[DONE]`.',
        "headers": {HEADER: {"description": IGNORED_WORDS, "schema": {"type": "string"}}},
        "content": {
            "application/json": {"schema": reference(ChatCompletion)},
            **event_stream(_STREAM, ChatCompletionChunk, OpenAIError, last_word=DONE),
        },
    }
    body = {"application/json": {"schema": inlined(ChatRequest.model_json_schema()), "examples": EXAMPLES}}
    return {
        "responses": {200: ok, **openai_error_docs()},
        "openapi_extra": {"requestBody": {"required": True, "content": body}},
    }
