"""`/v1/models` and `/v1/chat/completions`: the same model for clients that speak OpenAI's protocol.

Turns a checked chat into one row; `service.api.openai.conversation` folds its turns. Failures on these routes have
OpenAI's shape, which is `service.api.openai.errors`' doing. Event loop.
"""

from __future__ import annotations

import hashlib
import time
from uuid import uuid4

from fastapi import APIRouter, Request

from service.api.answering.reply import Reply
from service.api.answers import Answer
from service.api.bodies.request_body import find_image, read_json
from service.api.moondream import UNNAMED, is_moondream
from service.api.openai.answer import ChatAnswer
from service.api.openai.conversation import fold
from service.api.openai.errors import TAG
from service.api.openai.ignored import header_value
from service.api.openai.logprobs import ChatLogprobs
from service.api.openai.request import check_chat
from service.api.openai.responses import ChatCompletion, ModelEntry, ModelList
from service.api.openapi.failures import OF_MODELS
from service.api.openapi.native import answer_docs
from service.api.openapi.openai import ENTRY, MODELS, ONE_MODEL, chat_docs, openai_error_docs
from service.api.parts import ANY_NAME, Parts, ServiceParts
from service.api.request_context import context_of
from service.api.routes.caption_vqa import sampling_of
from service.errors import ModelNotFound
from service.messages.from_worker import ModelCard
from service.messages.rows import Row

FINGERPRINT_CHARS = 16

router = APIRouter(prefix="/v1", tags=[TAG])


@router.get(
    "/models",
    responses={**answer_docs("The model's names.", MODELS), **openai_error_docs(401, 503, failures=OF_MODELS)},
)
async def models(parts: Parts) -> ModelList:
    """List the one model that is served, by its name and then by its aliases.

    Send nothing. What comes back is OpenAI's list in JSON; the field `model` of any request takes each `id`. For what
    the model knows and how much a request may ask for, use `/v1`.
    """
    names = [parts.queue.loaded().name, *(name for name in parts.settings.aliases if name != ANY_NAME)]
    return ModelList(object="list", data=[_entry(parts, name) for name in dict.fromkeys(names)])


@router.get(
    "/models/{model:path}",
    responses={**answer_docs("The model.", ENTRY), **openai_error_docs(401, 404, 503, failures=ONE_MODEL)},
)
async def model(parts: Parts, model: str) -> ModelEntry:
    """Describe the served model, by its name or an alias.

    Send the name in the path. What comes back is OpenAI's entry for it in JSON, or 404 if the served model has another
    name. Use it to check a name; to learn it use `/v1/models`.
    """
    _check_model(parts, model)
    return _entry(parts, model)


@router.post("/chat/completions", response_model=ChatCompletion, **chat_docs())
async def chat_completions(request: Request, parts: Parts) -> Reply:
    """Answer a conversation about one image, as OpenAI's clients ask.

    Send JSON with `messages`, one of which has exactly one image; without any text it asks for a caption. What comes
    back is a `chat.completion`, or with `stream` its chunks as server-sent events. What other models take and Pheye has
    no use for is ignored and named in the header `X-Pheye-Ignored`. Use it for a client that speaks OpenAI's protocol;
    choices, several questions at once and explanations are of `/v1/vqa` alone.

    Pheye was trained on single instructions: the text of a single message goes in verbatim, and several turns are
    folded into one instruction, `System text`, `User: ...`, `Assistant: ...`, `User: ...`, each on lines of its own.
    """
    fields, context = await read_json(request), context_of(request.scope)
    asked = check_chat(fields, strict=parts.settings.strict)
    context.priority, context.ignored = asked.priority, header_value(each.path for each in asked.ignored)
    if asked.max_completion_tokens is not None:
        context.sent_as["settings.max_tokens"] = "max_completion_tokens"
    conversation = fold(asked.messages)
    image = await find_image(request, conversation.image_url)
    card = parts.queue.loaded()
    if not (asked.model == UNNAMED and is_moondream(request.scope)):
        _check_model(parts, asked.model)
    sampling = sampling_of(parts, asked.sampling)
    row = Row(
        uuid4().hex,
        conversation.instruction,
        sampling,
        may_shorten=asked.sampling.max_tokens is None,
        top_logprobs=asked.top_logprobs or 0,
    )
    answer = ChatAnswer(
        Answer(context.id, card.name, "answer", 1),
        created=int(time.time()),
        fingerprint=_fingerprint(card),
        include_usage=asked.include_usage,
        logprobs=ChatLogprobs(parts.queue.tokenizer()) if asked.logprobs else None,
    )
    return Reply(parts, answer, image, [row], stream=bool(asked.stream))


def _fingerprint(card: ModelCard) -> str:
    return "fp_" + hashlib.sha256(card.weights_fingerprint.encode()).hexdigest()[:FINGERPRINT_CHARS]


def _check_model(parts: ServiceParts, name: str | None) -> None:
    if not parts.serves(name):
        raise ModelNotFound(f"model: no such model; the one served here is {parts.queue.loaded().name!r}")


def _entry(parts: ServiceParts, name: str) -> ModelEntry:
    return ModelEntry(id=name, object="model", created=int(parts.started_unix_s), owned_by="pheye")
