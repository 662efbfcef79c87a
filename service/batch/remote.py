"""Batch answers from a running service over HTTP: many images in flight, refusals tried again with backoff.

Owns the requests and what becomes of each reply; `service.batch.retry` says when to try again and `service.batch.run`
follows the outcomes. Images are sent as they are, undecoded, and only those in flight are in memory. Main thread; the
event loop runs while the next outcome is waited for, and Ctrl-C ends it with every request.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any

import httpx
from rich.console import Console

from model.explain import LayerShare
from service.batch.bounded_http import (
    ANSWER_BYTES,
    EXPLAINED_BYTES,
    AnswerOutOfBoundsError,
    json_object,
    request,
)
from service.batch.retry import PASSING, RetryBudget, retry_after_s
from service.batch.run import Answerer, Job, carry_out
from service.batch.server import ServiceConnection, ServiceConnectionError, contact, silence
from service.batch.task import (
    AnsweredQuestion,
    AnswerOptions,
    CannotAsk,
    ImagePlace,
    Question,
    StandardInput,
    Task,
    TaskOutcome,
)
from service.errors import ServiceError, TooLarge
from service.fetching.fetcher import fetch_for_user
from service.fetching.urls import ImageLink
from service.known_world import OUTSIDE_KNOWN_WORLD, REAL_CHECKPOINT
from service.plain_words import DETAIL_CHARS, plain_value
from service.schemas.explanation import ExplanationFields
from service.schemas.responses import CaptionAnswer, ChoiceFields, ImageFields, ServiceCard, VqaAnswer

SLACK_S = 30.0  # past the service's own deadline it is taken for dead
FOR_ALL = frozenset({401, 404, 405})  # wrong key or address: every other request would fail too

_OTHER_FORM = "the service's answer is not of the form it should have"

Form = Mapping[str, Any]


class _Failed(Exception):
    """An image gets no answer; the message says why."""


def answer(server: ServiceConnection, job: Job) -> int:
    """Let a service answer a whole job.

    Returns:
        The exit code, as `service.batch.run.carry_out`.

    Raises:
        ValueError, OSError: the service or the file of results cannot be used, or the service takes no such question.
    """
    return carry_out(job, service(server, job.answer_options))


def service(server: ServiceConnection, answer_options: AnswerOptions) -> Callable[[Console], Answerer]:
    """Prepare a service, for `service.batch.run.carry_out`.

    Raises:
        ServiceConnectionError: when it is called, and there is no service that can be used.
    """

    def start(console: Console) -> Answerer:
        def tell(what: str) -> None:
            console.print(f"pheye: {what}", markup=False)

        card = contact(server, tell)
        run = RemoteRun(server, card, answer_options, tell).run
        knows = card.model.knows if card.model else None
        return Answerer(str(card.model), run, knows=knows, otherwise=f"a server of its own, {REAL_CHECKPOINT}")

    return start


class RemoteRun:
    """A run of one service over many tasks.

    Args:
        server: where and how to ask.
        card: what the service said of itself.
        answer_options: how the answers are made.
        tell: shows the user a line.
    """

    def __init__(
        self, server: ServiceConnection, card: ServiceCard, answer_options: AnswerOptions, tell: Callable[[str], None]
    ) -> None:
        self._server, self._limits, self._prepare, self._tell = server, card.limits, answer_options.prepare, tell
        # With its name, so that a service that comes back with another model refuses.
        self._most_bytes = EXPLAINED_BYTES if answer_options.explain else ANSWER_BYTES
        self._common: Form = {
            "model": str(card.model), "settings": json.dumps(_settings(answer_options)), "priority": "bulk",
        }  # fmt: skip
        if answer_options.explain:
            self._common = {**self._common, "explain": "true"}
        self._heard_s = float("-inf")  # when the service last had an answer, whatever it was
        self._complained = False

    def run(self, tasks: Iterable[Task]) -> Generator[TaskOutcome, None, None]:
        """Yield outcomes in the order in which they are complete.

        Raises:
            CannotAsk: the service refuses what would be asked of every image.
            ServiceConnectionError: it had no answer for longer than is waited.
        """
        outcomes = self._outcomes(tasks)

        async def following() -> TaskOutcome | None:
            return await anext(outcomes, None)

        with asyncio.Runner() as loop:  # closing it cancels every request
            while (outcome := loop.run(following())) is not None:
                yield outcome

    async def _outcomes(self, tasks: Iterable[Task]) -> AsyncGenerator[TaskOutcome, None]:
        ahead, pending, most = enumerate(tasks), set[asyncio.Task[TaskOutcome]](), self._server.in_flight
        connection = self._server.connection(self._limits.deadline_s + SLACK_S)
        limits = httpx.Limits(max_connections=most, max_keepalive_connections=most)
        async with httpx.AsyncClient(limits=limits, **connection) as client:
            try:
                while True:
                    new = islice(ahead, most - len(pending))
                    pending |= {asyncio.create_task(self._answer(client, place, task)) for place, task in new}
                    if not pending:
                        return
                    done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                    for each in sorted(done, key=lambda each: each.exception() is not None):  # what ends it all last
                        yield each.result()
            finally:
                for each in pending:
                    each.cancel()
                await asyncio.gather(*pending, return_exceptions=True)

    async def _answer(self, client: httpx.AsyncClient, place: int, task: Task) -> TaskOutcome:
        answers: list[AnsweredQuestion] = []
        about: ImageFields | None = None
        warnings: tuple[str, ...] = ()
        try:
            image = await asyncio.to_thread(lambda: self._prepare(_read(task.image, self._limits.body_bytes)))
            for questions in requests_of(task.questions, self._limits.questions):
                path, form = _form(questions)
                body = _body(questions, await self._post(client, path, {**form, **self._common}, image))
                answers += _answers(questions, body)
                about = body.image
                warnings = tuple(word for word in body.warnings if word != OUTSIDE_KNOWN_WORLD)
        except (_Failed, ServiceError) as error:
            errors: tuple[str, ...] = (str(error),)
        except OSError as error:
            errors = (f"image: {error.strerror or error}",)
        else:
            errors = ()
        return TaskOutcome(place, task, tuple(answers), errors, about, warnings)

    async def _post(self, client: httpx.AsyncClient, path: str, form: Form, image: bytes) -> bytes:
        """Send a request until its answer is good, or trying again makes no sense."""
        retry_budget = RetryBudget(self._server.retry_for_s)
        while True:
            status, asked_s = 0, 0.0
            try:
                response = await self._send(client, path, form, image)
            except AnswerOutOfBoundsError as error:
                raise _Failed(f"no answer: {error}") from None
            except httpx.RequestError as error:
                reason = silence(error)
            else:
                status, reason, asked_s = response.status_code, _detail(response), retry_after_s(response.headers)
                if status not in PASSING:
                    self._heard_s, self._complained = time.monotonic(), False
                    return _checked(response)
            pause_s = retry_budget.pause_s(time.monotonic(), asked_s)
            if pause_s is None:
                raise self._given_up(reason)
            if status != httpx.codes.TOO_MANY_REQUESTS:
                self._complain(reason)
            await asyncio.sleep(pause_s)

    async def _send(self, client: httpx.AsyncClient, path: str, form: Form, image: bytes) -> httpx.Response:
        body_s, files = self._limits.deadline_s + SLACK_S, {"image": ("image", image)}
        return await request(client, self._most_bytes, body_s, method="POST", url=path, data=form, files=files)

    def _given_up(self, reason: str) -> Exception:
        """Choose the error to raise: it ends one image while others are answered, and the run when none is."""
        for_s = self._server.retry_for_s
        if time.monotonic() - self._heard_s <= for_s:
            return _Failed(f"{reason}; given up after {for_s:g} s")
        return ServiceConnectionError(f"{self._server.url}: {reason}; given up after {for_s:g} s")

    def _complain(self, reason: str) -> None:
        if not self._complained:
            self._complained = True
            self._tell(f"{self._server.url}: {reason}; trying again for up to {self._server.retry_for_s:g} s")


def _settings(answer_options: AnswerOptions) -> dict[str, Any]:
    chosen = answer_options.sampling
    settings: dict[str, Any] = {"temperature": chosen.temperature, "top_p": chosen.top_p, "seed": chosen.seed}
    settings |= {"stop": list(chosen.stop)} if chosen.stop else {}
    return settings | ({} if answer_options.may_shorten else {"max_tokens": chosen.max_tokens})


def _read(image: ImagePlace, most_bytes: int) -> bytes:
    """Read an image, or fetch it: here, since the service may see another network, or follow no links."""
    if isinstance(image, ImageLink):
        return fetch_for_user(image, most_bytes)
    if isinstance(image, StandardInput):
        _check_size("it", len(image.content), most_bytes)
        return image.content
    with image.open("rb") as file:
        _check_size("its file", os.fstat(file.fileno()).st_size, most_bytes)
        return file.read()


def _check_size(what: str, size_bytes: int, most_bytes: int) -> None:
    if size_bytes > most_bytes:
        raise TooLarge(f"image: {what} has {size_bytes} bytes; the service takes {most_bytes}")


def requests_of(questions: Iterable[Question], most: int) -> Iterator[tuple[Question, ...]]:
    """Group questions that one request can ask: alike but for their words, and no more than the service takes."""
    for key, alike in groupby(questions, lambda question: (question.key, _style(question))):
        while together := tuple(islice(alike, 1 if key[0] == "caption" else most)):
            yield together


def _style(question: Question) -> dict[str, Any]:
    return {name: value for name, value in question.fields.items() if name != "question"}


def _form(questions: tuple[Question, ...]) -> tuple[str, Form]:
    """Build the route and the form fields of a request."""
    if questions[0].key == "caption":
        return "/v1/caption", _style(questions[0])
    return "/v1/vqa", {**_style(questions[0]), "questions": [question.fields["question"] for question in questions]}


def _body(questions: tuple[Question, ...], body: bytes) -> CaptionAnswer | VqaAnswer:
    kind = CaptionAnswer if questions[0].key == "caption" else VqaAnswer
    try:
        return kind.model_validate_json(body)
    except ValueError:
        raise _Failed(_OTHER_FORM) from None


def _answers(questions: tuple[Question, ...], body: CaptionAnswer | VqaAnswer) -> list[AnsweredQuestion]:
    if isinstance(body, CaptionAnswer):
        return [_caption(questions[0], body)]
    try:
        return list(_vqa(questions, body))
    except ValueError:
        raise _Failed(_OTHER_FORM) from None


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


def _checked(response: httpx.Response) -> bytes:
    """Check an answer and return its body.

    Raises:
        CannotAsk: it is not this image that is at fault.
        _Failed: it is, or the service.
    """
    if response.status_code == httpx.codes.OK:
        return response.content
    detail, status = _detail(response), response.status_code
    invalid_field = status == httpx.codes.UNPROCESSABLE_ENTITY and not detail.startswith("image")
    if status in FOR_ALL or invalid_field:
        raise CannotAsk(detail.removeprefix("settings."))
    raise _Failed(detail)


def _detail(response: httpx.Response) -> str:
    """Read the reason of a refusal, whoever wrote it: the service, or a proxy in between."""
    detail = json_object(response).get("detail")
    if detail is None:
        return f"HTTP {response.status_code} {response.reason_phrase}".rstrip()
    return plain_value(detail, DETAIL_CHARS)
