"""Questions as requests to a running service, and its answers as those of an engine here.

Owns routes, form fields and what a refusal means; `service.batch.answerers.remote` sends them. Pure but for reading
images; any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any

import httpx

from model.bounded_files import read_at_most
from model.explain import LayerShare
from service.batch.answerers.bounded_http import json_object
from service.batch.task import AnsweredQuestion, AnswerOptions, CannotAsk, ImagePlace, Question, StandardInput
from service.configuration.plain_words import DETAIL_CHARS, plain_value
from service.errors import TooLarge
from service.fetching.fetcher import fetch_for_user
from service.fetching.urls import ImageLink
from service.known_world import OUTSIDE_KNOWN_WORLD
from service.schemas.explanation import ExplanationFields
from service.schemas.responses import CaptionAnswer, ChoiceFields, VqaAnswer

FOR_ALL = frozenset({401, 404, 405})  # wrong key or address: every other request would fail too

_OTHER_FORM = "the service's answer is not of the form it should have"

Form = Mapping[str, Any]


class NoAnswer(Exception):
    """An image gets no answer; the message says why."""


def settings_of(answer_options: AnswerOptions) -> dict[str, Any]:
    """Build the field `settings`, without what the service may choose."""
    chosen = answer_options.sampling
    settings: dict[str, Any] = {"temperature": chosen.temperature, "top_p": chosen.top_p, "seed": chosen.seed}
    settings |= {"stop": list(chosen.stop)} if chosen.stop else {}
    return settings | ({} if answer_options.may_shorten else {"max_tokens": chosen.max_tokens})


def read_image(image: ImagePlace, most_bytes: int, stopped: Callable[[], bool] | None = None) -> bytes:
    """Read an image, or fetch it: here, since the service may see another network, or follow no links.

    Args:
        image: where it is.
        most_bytes: that the service takes.
        stopped: as `model.bounded_files.read_at_most` takes it.
    """
    if isinstance(image, ImageLink):
        return fetch_for_user(image, most_bytes, stopped)
    if isinstance(image, StandardInput):
        _check_size("it", len(image.content), most_bytes)
        return image.content
    _check_size("its file", image.stat().st_size, most_bytes)
    content = read_at_most(image, most_bytes, stopped)
    _check_size("its file", len(content), most_bytes, at_least="at least ")  # a device says nothing of its size
    return content


def _check_size(what: str, size_bytes: int, most_bytes: int, at_least: str = "") -> None:
    if size_bytes > most_bytes:
        raise TooLarge(f"image: {what} has {at_least}{size_bytes} bytes; the service takes {most_bytes}")


def requests_of(questions: Iterable[Question], most: int) -> Iterator[tuple[Question, ...]]:
    """Group questions that one request can ask: alike but for their words, and no more than the service takes."""
    for key, alike in groupby(questions, lambda question: (question.key, _style(question))):
        while together := tuple(islice(alike, 1 if key[0] == "caption" else most)):
            yield together


def _style(question: Question) -> dict[str, Any]:
    return {name: value for name, value in question.fields.items() if name != "question"}


def form_of(questions: tuple[Question, ...]) -> tuple[str, Form]:
    """Build the route and the form fields of a request."""
    if questions[0].key == "caption":
        return "/v1/caption", _style(questions[0])
    return "/v1/vqa", {**_style(questions[0]), "questions": [question.fields["question"] for question in questions]}


def body_of(questions: tuple[Question, ...], body: bytes) -> CaptionAnswer | VqaAnswer:
    """Read the body of an answer.

    Raises:
        NoAnswer: it is of another form.
    """
    kind = CaptionAnswer if questions[0].key == "caption" else VqaAnswer
    try:
        return kind.model_validate_json(body)
    except ValueError:
        raise NoAnswer(_OTHER_FORM) from None


def answers_of(questions: tuple[Question, ...], body: CaptionAnswer | VqaAnswer) -> list[AnsweredQuestion]:
    """Take the answers out of a body, in the order of the questions.

    Raises:
        NoAnswer: there are more or fewer than questions.
    """
    if isinstance(body, CaptionAnswer):
        return [_caption(questions[0], body)]
    try:
        return list(_vqa(questions, body))
    except ValueError:
        raise NoAnswer(_OTHER_FORM) from None


def _caption(question: Question, told: CaptionAnswer) -> AnsweredQuestion:
    shares, outside = _shares(told.explanation), OUTSIDE_KNOWN_WORLD in told.warnings
    return AnsweredQuestion(question, told.caption, told.finish_reason, shares, told.confidence, outside=outside)


def _vqa(questions: tuple[Question, ...], told: VqaAnswer) -> Iterator[AnsweredQuestion]:
    """Read the answers to several questions; what a service does not tell is missing in each."""
    nothing = [None] * len(questions)
    looks: Sequence[ExplanationFields | None] = told.explanations or nothing
    confidences: Sequence[float | None] = told.confidences or nothing
    offered: Sequence[Sequence[ChoiceFields]] = told.choices_by_question or [()] * len(questions)
    warned: Sequence[Sequence[str]] = told.warnings_by_question or [()] * len(questions)
    ends = zip(
        questions, told.answers or (), told.finish_reasons or (), looks, confidences, offered, warned, strict=True
    )
    for question, text, reason, look, confidence, choices, words in ends:
        probabilities, outside = tuple(choice.probability for choice in choices), OUTSIDE_KNOWN_WORLD in words
        yield AnsweredQuestion(question, text, reason, _shares(look), confidence, probabilities, outside)


def _shares(look: ExplanationFields | None) -> tuple[LayerShare, ...]:
    layers = look.layers if look is not None else ()
    return tuple(LayerShare(each.layer, each.global_share, each.local_share) for each in layers)


def checked_body(response: httpx.Response) -> bytes:
    """Check an answer and return its body.

    Raises:
        CannotAsk: it is not this image that is at fault.
        NoAnswer: it is, or the service.
    """
    if response.status_code == httpx.codes.OK:
        return response.content
    detail, status = refusal(response), response.status_code
    invalid_field = status == httpx.codes.UNPROCESSABLE_ENTITY and not detail.startswith("image")
    if status in FOR_ALL or invalid_field:
        named = detail.removeprefix("settings.")
        raise CannotAsk(named.replace("questions: ", "question: ", 1) if named.startswith("questions: ") else named)
    raise NoAnswer(detail)


def refusal(response: httpx.Response) -> str:
    """Read the reason of a refusal, whoever wrote it: the service, or a proxy in between."""
    detail = json_object(response).get("detail")
    if detail is None:
        return f"HTTP {response.status_code} {response.reason_phrase}".rstrip()
    return plain_value(detail, DETAIL_CHARS)
