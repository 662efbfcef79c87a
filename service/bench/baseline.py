"""The naive server that most people would write first: FastAPI, naive model, lock. To measure against; never deploy it.

It is as good as a first version is: the model is loaded once, images are decoded in threads and outside the lock, an
answer ends at its end token. What the service adds it lacks: batching, cached features, streams, sampling, choices,
confidences, limits, deadlines; for a client that hangs up it works to the end. Event loop and its threads.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from dataclasses import dataclass, field

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from model.prompt import caption_instruction, question_instruction
from model.reference.naive_answers import NaiveAnswers, load_naive
from service.api.answers import Answer, AnswerKey
from service.api.bodies.request_body import ImageRequest, read_ask
from service.api.encoding import Extended, json_response
from service.api.server import configure_api_logging, listen, url_of
from service.configuration.settings import Settings
from service.decoding.decode import tile
from service.errors import InvalidField, ServiceError
from service.images import ImageSource
from service.messages.from_worker import Finished, RowTimings, Usage
from service.schemas.requests import CaptionRequest, VqaRequest


@dataclass(frozen=True, slots=True)
class Baseline:
    """The naive model and the lock around it."""

    naive: NaiveAnswers
    settings: Settings
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(
        self, ask: ImageRequest[CaptionRequest] | ImageRequest[VqaRequest], key: AnswerKey, rows: list[str]
    ) -> Response:
        """Answer in the service's shape; of the timings `decode` is all of the model's time."""
        fields, config, arrived_s = ask.fields, self.naive.config, time.monotonic()
        if fields.stream or fields.explain or fields.sampling.temperature or fields.sampling.stop:
            raise InvalidField("stream, explain, settings: the baseline answers as a whole, and greedily")
        if not isinstance(ask.image, ImageSource):
            raise InvalidField("image_url: the baseline neither stores images nor follows links; fetching is off")
        if isinstance(fields, VqaRequest) and fields.choices and fields.answer_style != "choice":
            raise InvalidField("choices: the baseline tells the model of them, with answer_style choice, and no more")
        image = tile(
            ask.image,
            max_pixels=self.settings.max_pixels,
            tile_px=config.vision.tile_px,
            level=config.level,
            exact=self.settings.exact_decoding,
        )
        tiled_s = time.monotonic()
        with self.lock:
            began_s = time.monotonic()
            told = self.naive.answers(image.tiles, rows, fields.sampling.max_tokens or self.settings.default_max_tokens)
        ended_s = time.monotonic()
        timings = RowTimings(began_s - tiled_s, 0.0, 0.0, ended_s - began_s)
        answer = Answer(uuid.uuid4().hex, config.name, key, len(rows), image=image)
        for index, row in enumerate(told):
            usage = Usage(row.prompt_tokens, row.completion_tokens, config.image_tokens, config.tiles, 0)
            answer.take(index, Finished(answer.id, row.text, row.finish_reason, usage, timings))
        body = answer.whole(preprocess_s=tiled_s - arrived_s, total_s=ended_s - arrived_s)
        assert not isinstance(body, Extended)  # it explains nothing
        return json_response(body)


def create_baseline(naive: NaiveAnswers, settings: Settings) -> FastAPI:
    """Create the naive server's application."""
    app, baseline = FastAPI(docs_url=None, redoc_url=None), Baseline(naive, settings)

    @app.post("/v1/caption")
    async def caption(request: Request) -> Response:
        ask = await read_ask(request, CaptionRequest)
        rows = [caption_instruction(ask.fields.length, ask.fields.style)]
        return await run_in_threadpool(baseline.answer, ask, "caption", rows)

    @app.post("/v1/vqa")
    async def vqa(request: Request) -> Response:
        ask = await read_ask(request, VqaRequest)
        style, choices = ask.fields.answer_style, ask.fields.choices or ()
        rows = [question_instruction(text, style, choices) for text in ask.fields.asked]
        return await run_in_threadpool(baseline.answer, ask, "answers" if ask.fields.questions else "answer", rows)

    @app.get("/livez")
    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        return {"status": "ready", "model": naive.config.name, "device": str(naive.device), "dtype": naive.dtype_name}

    @app.exception_handler(ServiceError)
    async def refuse(_: Request, error: ServiceError) -> JSONResponse:
        return JSONResponse({"status": error.status, "detail": error.detail}, error.status)

    return app


def serve(settings: Settings) -> None:
    """Load the model, then serve until a signal ends it; a ValueError or OSError says why it cannot."""
    configure_api_logging(settings.log_level, settings.log_format)
    with listen(settings.host, settings.port) as listener:
        naive = load_naive(settings.model, settings.revision, settings.devices, settings.dtype, settings.threads)
        logging.getLogger("pheye.baseline").info("listening on %s; %s", url_of(listener), naive.config.name)
        config = uvicorn.Config(create_baseline(naive, settings), http="h11", log_config=None, access_log=False)
        uvicorn.Server(config).run([listener])
