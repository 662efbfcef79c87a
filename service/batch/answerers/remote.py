"""Batch answers from a running service over HTTP: many images in flight, refusals tried again with backoff.

Owns the requests under way; `service.batch.answerers.forms` says what they are and what a reply means,
`service.batch.answerers.retry` when to try again, and `service.batch.run` follows the outcomes. Images are sent as they
are, undecoded, and only those in flight are in memory. Main thread; the event loop runs while the next outcome is
waited for, and Ctrl-C ends it with every request.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import suppress
from itertools import islice
from threading import Event

import httpx
from rich.console import Console

from service.batch.answerers.bounded_http import (
    ANSWER_BYTES,
    EXPLAINED_BYTES,
    AnswerOutOfBoundsError,
    request,
)
from service.batch.answerers.forms import (
    Form,
    NoAnswer,
    answers_of,
    body_of,
    checked_body,
    form_of,
    read_image,
    refusal,
    requests_of,
    settings_of,
)
from service.batch.answerers.retry import LONGEST_PAUSE_S, PASSING, RetryBudget, retry_after_s
from service.batch.answerers.server import ServiceConnection, ServiceConnectionError, contact, silence
from service.batch.run import Answerer, Job, carry_out
from service.batch.task import (
    AnsweredQuestion,
    AnswerOptions,
    Task,
    TaskOutcome,
)
from service.errors import ServiceError
from service.images import DIGEST_HEADER, HashedImage, ImageSource, hashed
from service.known_world import OUTSIDE_KNOWN_WORLD, REAL_CHECKPOINT
from service.schemas.requests import MAX_EXPLAINED
from service.schemas.responses import ImageFields
from service.schemas.service_card import ServiceCard

SLACK_S = 30.0  # past the service's own deadline it is taken for dead


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
            "model": str(card.model), "settings": json.dumps(settings_of(answer_options)), "priority": "bulk",
        }  # fmt: skip
        self._most_questions = self._limits.questions
        if answer_options.explain:
            together = MAX_EXPLAINED // answer_options.sampling.max_tokens
            self._most_questions = max(1, min(self._most_questions, together))
            self._common = {**self._common, "explain": "true"}
        self._heard_s = float("-inf")  # when the service last had an answer, whatever it was
        self._complained = False
        self._ending = asyncio.Event()  # set when the run will end: nothing is asked again
        self._stopped = Event()  # set when it has ended: no pipe is waited for, nor a host

    def run(self, tasks: Iterable[Task]) -> Generator[TaskOutcome, None, None]:
        """Yield outcomes in the order in which they are complete.

        Raises:
            CannotAsk: the service refuses what would be asked of every image.
            ServiceConnectionError: it had no answer for longer than is waited, or asks to be left alone for longer.

        Before an error that ends the run come the answers that the service works on.
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
        ended: BaseException | None = None
        limits = httpx.Limits(max_connections=most, max_keepalive_connections=most)
        async with httpx.AsyncClient(limits=limits, **connection) as client:
            try:
                while True:
                    new = islice(ahead, most - len(pending)) if ended is None else ()
                    pending |= {asyncio.create_task(self._answer(client, place, task)) for place, task in new}
                    if not pending:
                        break
                    done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                    for each in done:
                        if (error := each.exception()) is None:
                            yield each.result()
                        else:  # it ends the run, but what the service works on is not thrown away
                            ended = ended or error
                            self._ending.set()
            finally:
                self._stopped.set()
                for each in pending:
                    each.cancel()
                await asyncio.gather(*pending, return_exceptions=True)
        if ended is not None:
            raise ended

    async def _answer(self, client: httpx.AsyncClient, place: int, task: Task) -> TaskOutcome:
        answers: list[AnsweredQuestion] = []
        about: ImageFields | None = None
        warnings: tuple[str, ...] = ()
        try:
            image = await asyncio.to_thread(self._read, task)
            for questions in requests_of(task.questions, self._most_questions):
                path, form = form_of(questions)
                body = body_of(questions, await self._post(client, path, {**form, **self._common}, image))
                answers += answers_of(questions, body)
                about = body.image
                warnings = tuple(word for word in body.warnings if word != OUTSIDE_KNOWN_WORLD)
        except (NoAnswer, ServiceError) as error:
            errors: tuple[str, ...] = (str(error),)
        except OSError as error:
            errors = (f"image: {error.strerror or error}",)
        else:
            errors = ()
        return TaskOutcome(place, task, tuple(answers), errors, about, warnings)

    def _read(self, task: Task) -> HashedImage:
        """Read and prepare an image, and hash what will be sent of it; in a thread."""
        return hashed(ImageSource(self._prepare(read_image(task.image, self._limits.body_bytes, self._stopped.is_set))))

    async def _post(self, client: httpx.AsyncClient, path: str, form: Form, image: HashedImage) -> bytes:
        """Send a request until its answer is good, or trying again makes no sense."""
        retry_budget = RetryBudget(self._server.retry_for_s)
        while True:
            status, asked_s = 0, 0.0
            try:
                response = await self._send(client, path, form, image)
            except AnswerOutOfBoundsError as error:
                raise NoAnswer(f"no answer: {error}") from None
            except httpx.RequestError as error:
                reason = silence(error)
            else:
                status, reason, asked_s = response.status_code, refusal(response), retry_after_s(response.headers)
                if status not in PASSING:
                    self._heard_s, self._complained = time.monotonic(), False
                    return checked_body(response)
            pause_s = retry_budget.pause_s(time.monotonic(), asked_s)
            if pause_s is None or self._ending.is_set():
                raise self._given_up(reason, asked_s)
            if status != httpx.codes.TOO_MANY_REQUESTS:
                self._complain(reason)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), pause_s)
                raise self._given_up(reason, asked_s)

    async def _send(self, client: httpx.AsyncClient, path: str, form: Form, image: HashedImage) -> httpx.Response:
        what = {
            "method": "POST", "url": path, "data": form, "files": {"image": ("image", image.file.file_bytes())},
            "headers": {DIGEST_HEADER: image.digest},  # keeps it on one server behind a proxy
        }  # fmt: skip
        return await request(client, self._most_bytes, self._limits.deadline_s + SLACK_S, **what)

    def _given_up(self, reason: str, asked_s: float) -> Exception:
        """Choose the error to raise: it ends one image while others are answered, and the run when none is.

        A service that asks to be left alone for long means whoever asks, such as a key beyond its rate, and no image.
        """
        for_s = self._server.retry_for_s
        if asked_s > max(for_s, LONGEST_PAUSE_S):
            wanted = f"it asks to be left alone for {asked_s:g} s, and --retry-for is {for_s:g}"
            return ServiceConnectionError(f"{self._server.url}: {reason}; {wanted}")
        if self._ending.is_set():
            return ServiceConnectionError(f"{self._server.url}: {reason}")
        if time.monotonic() - self._heard_s <= for_s:
            return NoAnswer(f"{reason}; given up after {for_s:g} s")
        return ServiceConnectionError(f"{self._server.url}: {reason}; given up after {for_s:g} s")

    def _complain(self, reason: str) -> None:
        if not self._complained:
            self._complained = True
            self._tell(f"{self._server.url}: {reason}; trying again for up to {self._server.retry_for_s:g} s")
