"""`/v1/caption` and `/v1/vqa` (alias `/v1/query`): captions and questions in the service's own terms.

Turns a checked request into rows. `service.api.bodies.request_body` reads the bodies and
`service.api.answering.reply` waits in the queue. Event loop.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from uuid import uuid4

from fastapi import APIRouter, Request

from model.prompt import caption_instruction, question_instruction
from model.request import Sampling
from service.api.answering.reply import Reply
from service.api.answers import Answer, AnswerKey, OfferedChoice
from service.api.bodies.request_body import ImageRequest, read_ask
from service.api.openapi.answers import CAPTION, VQA
from service.api.openapi.native import ask_docs
from service.api.parts import Parts, ServiceParts
from service.api.request_context import context_of
from service.errors import InvalidField
from service.messages.rows import Row
from service.schemas.requests import MAX_EXPLAINED, CaptionRequest, SamplingFields, VqaRequest
from service.schemas.responses import CaptionAnswer, VqaAnswer

router = APIRouter(prefix="/v1", tags=["images"])


@router.post("/caption", response_model=CaptionAnswer, **ask_docs(CaptionRequest, CAPTION))
async def caption(request: Request, parts: Parts) -> Reply:
    """Describe an image.

    Send the image, and if you like a `length`, a `style` and sampling settings; the instruction is the service's own.
    What comes back is one JSON object with the text as `caption`, or with `stream` the text while it is generated, as
    server-sent events. To ask something of your own, use `/v1/vqa`.
    """
    ask = await read_ask(request, CaptionRequest)
    return _reply(request, parts, ask, "caption", [caption_instruction(ask.fields.length, ask.fields.style)])


@router.post("/query", name="query", response_model=VqaAnswer, **ask_docs(VqaRequest, VQA))
@router.post("/vqa", response_model=VqaAnswer, **ask_docs(VqaRequest, VQA))
async def vqa(request: Request, parts: Parts) -> Reply:
    """Answer one question, or several in one pass, about an image.

    Send the image and `question`, or `questions`, which share one encoding of the image and are answered in their
    order. `answer_style` asks for a sentence, a word or a letter; with `choices` the answer is one of them, and each
    has its probability. What comes back is one JSON object with `answer` or `answers`, or with `stream` the text while
    it is generated, as server-sent events. For a description without a question use `/v1/caption`, and for a client
    that speaks OpenAI's protocol `/v1/chat/completions`. `/v1/vqa` and `/v1/query` are the same route.
    """
    ask = await read_ask(request, VqaRequest)
    asked = question_instructions(parts, ask.fields)
    return _reply(request, parts, ask, "answers" if ask.fields.questions is not None else "answer", asked)


def question_instructions(parts: ServiceParts, fields: VqaRequest) -> list[str]:
    """Build the instruction that the model gets for each question.

    Raises:
        InvalidField: more questions than one request may ask.
    """
    limit = parts.settings.most_questions
    if len(fields.asked) > limit:
        raise InvalidField(f"questions: {len(fields.asked)} are more than the {limit} allowed in one request")
    return [question_instruction(text, fields.answer_style, fields.choices or ()) for text in fields.asked]


def _reply(
    request: Request,
    parts: ServiceParts,
    ask: ImageRequest[CaptionRequest] | ImageRequest[VqaRequest],
    key: AnswerKey,
    instructions: list[str],
) -> Reply:
    rows, context = rows_asked(parts, ask.fields, instructions), context_of(request.scope)
    context.priority = ask.fields.priority
    answer = Answer(context.id, parts.queue.loaded().name, key, len(rows), _offered(ask.fields))
    return Reply(parts, answer, ask.image, rows, stream=ask.fields.stream)


def _offered(fields: CaptionRequest | VqaRequest) -> list[OfferedChoice]:
    if not isinstance(fields, VqaRequest):
        return []
    letters = fields.offered if fields.answer_style == "choice" else [None] * len(fields.offered)
    return [OfferedChoice(*each) for each in zip(fields.choices or (), letters, strict=True)]


def rows_asked(parts: ServiceParts, fields: CaptionRequest | VqaRequest, instructions: list[str]) -> list[Row]:
    """Build the rows of a request, one for each instruction.

    Raises:
        InvalidField: another model is named, `max_tokens` is more than fits, or too much is to be explained.
        Unavailable: the model is loading.
    """
    shorten = fields.sampling.max_tokens is None
    if not parts.serves(fields.model):
        raise InvalidField(f"model: the model served here is {parts.queue.loaded().name!r}")
    offered = fields.offered if isinstance(fields, VqaRequest) else ()
    rows = [
        Row(
            uuid4().hex,
            instruction,
            sampling_of(parts, fields.sampling),
            may_shorten=shorten,
            explain=fields.explain,
            choices=offered,
        )
        for instruction in instructions
    ]
    _check_explained(rows, parts.queue.loaded().context_tokens)
    return rows


def _check_explained(rows: Sequence[Row], context_tokens: int) -> None:
    """Refuse more heat maps than one answer should hold: there is one for each word, and words are tokens at least."""
    if not rows[0].explain:
        return
    choices, most = rows[0].choices, min(rows[0].sampling.max_tokens, context_tokens)
    words = max(len(choice.split()) for choice in choices) if choices else most
    if len(rows) * words > MAX_EXPLAINED:
        unit, way = ("words", "send shorter choices") if choices else ("tokens", "lower settings.max_tokens")
        raise InvalidField(
            f"explain: {len(rows)} answers of up to {words} {unit} are more than the {MAX_EXPLAINED} that one request "
            f"may have explained; ask fewer questions at a time, or {way}"
        )


def sampling_of(parts: ServiceParts, asked: SamplingFields) -> Sampling:
    """Choose the sampling of one row, with the service's defaults and a random seed if none was asked for.

    Raises:
        InvalidField: `max_tokens` is more than fits into the model.
        Unavailable: the model is loading.
    """
    context = parts.queue.loaded().context_tokens
    if asked.max_tokens is not None and asked.max_tokens > context:
        raise InvalidField(f"settings.max_tokens: {asked.max_tokens} is more than the context of {context} tokens")
    return Sampling(
        max_tokens=asked.max_tokens or parts.settings.default_max_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        seed=secrets.randbits(63) if asked.seed is None else asked.seed,
        stop=tuple(asked.stop or ()),
    )
