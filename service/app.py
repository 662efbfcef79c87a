"""The web application: routes, the edge around them, and the queue's life inside the app's.

Knows how the parts fit and nothing of what they do. Call `create_app` once per process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from service.edge import Edge
from service.metrics import Metrics
from service.problems import answer_with_problems
from service.queue import RequestQueue
from service.routes import health, native
from service.routes.reply import ServiceParts
from service.settings import Settings


def create_app(settings: Settings, queue: RequestQueue, metrics: Metrics) -> FastAPI:
    """The service as an ASGI application; its lifespan starts and stops the queue."""
    executor = ThreadPoolExecutor(settings.preprocess_threads, thread_name_prefix="pheye-preprocess")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await queue.start()
        try:
            yield
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
            await queue.stop()

    app = FastAPI(
        title="Pheye",
        summary="Captions and visual question answering with a small high-resolution vision-language model.",
        version=version("pheye-service"),
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.parts = ServiceParts(settings, queue, metrics, executor)
    app.include_router(native.router)
    app.include_router(health.router)
    answer_with_problems(app)
    app.add_middleware(Edge, settings=settings, metrics=metrics)
    return app
