"""The web application: routes, middleware, and the start and stop of queue and decoders with it.

Knows how the parts fit and nothing of what they do. Call `create_app` once per process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from service.allocator import return_freed_memory
from service.api.access.key_reload import KeyReload
from service.api.access.keys import ApiKeys
from service.api.connections.shutdown.running import RunningRequests
from service.api.connections.uploads import Uploads
from service.api.fair_threads import FairThreads
from service.api.image_folder.image_file import TileGeometry
from service.api.image_folder.start import open_folder
from service.api.image_store import ImageStore
from service.api.middleware import RequestMiddleware
from service.api.openapi.document import DESCRIPTION, SUMMARY, TAGS, TITLE, complete_document
from service.api.parts import ServiceParts
from service.api.problems import answer_with_problems
from service.api.routes import caption_vqa, docs, estimate, health, mcp, not_offered, openai, playground
from service.api.routes import images as image_routes
from service.api.uploaded_images import UploadedImages
from service.configuration.settings import Settings, default_policy
from service.decoding.pool import DecoderPool
from service.dispatch.queue import RequestQueue
from service.fetching.fetcher import ImageFetcher
from service.metrics.service_metrics import Metrics
from service.upkeep import keep_up

if TYPE_CHECKING:
    from service.api.traces.tracing import RequestTracing

ROUTERS = tuple(
    module.router
    for module in (caption_vqa, openai, image_routes, estimate, health, mcp, not_offered, docs, playground)
)
COUNTING_THREADS = 2  # for the tokens of prompts
EXPLAINING_THREADS = 2
HASHING_THREADS = 2  # for large files
TRIM_S = 5.0  # how often freed memory goes back to the system


def create_app(
    settings: Settings, queue: RequestQueue, metrics: Metrics, tracing: RequestTracing | None = None
) -> FastAPI:
    """Create the service as an ASGI application; its lifespan starts and stops the queue, and ends `tracing`.

    Raises:
        SettingsError: the folder of uploaded images cannot be used.
    """
    uploads = Uploads(settings.max_upload_bytes)
    parts = _service_parts(settings, queue, metrics, uploads)
    routes = [route for router in ROUTERS for route in router.routes]
    reload = KeyReload(settings, metrics)
    keys = ApiKeys(reload.keys, default_policy(settings), routes)
    app = FastAPI(
        title=TITLE,
        summary=SUMMARY,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        version=version("pheye-service"),
        lifespan=partial(_lifespan, parts, partial(reload.watch, keys.replace), tracing),
        redirect_slashes=False,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        # Its own spans would tell each request a second time, with the query of its address, and its logs have texts.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.parts = parts
    app.state.running = RunningRequests()
    for router in ROUTERS:
        app.include_router(router)
    complete_document(app, routes, settings.root_path)
    answer_with_problems(app)
    app.add_middleware(
        RequestMiddleware,
        settings=settings,
        metrics=metrics,
        keys=keys,
        routes=routes,
        running=app.state.running,
        uploads=uploads,
        tracing=tracing,
    )
    return app


def _service_parts(settings: Settings, queue: RequestQueue, metrics: Metrics, uploads: Uploads) -> ServiceParts:
    """Put together what every route may use."""
    counting = FairThreads(COUNTING_THREADS, "pheye-tokens")
    explaining = FairThreads(EXPLAINING_THREADS, "pheye-explanations")
    hashing = ThreadPoolExecutor(HASHING_THREADS, thread_name_prefix="pheye-hashes")
    images = _uploaded_images(settings, queue, metrics)
    fetcher = ImageFetcher(settings, metrics, uploads)
    decoders = DecoderPool(settings, metrics)
    return ServiceParts(settings, queue, metrics, counting, explaining, hashing, decoders, images, fetcher)


def _uploaded_images(settings: Settings, queue: RequestQueue, metrics: Metrics) -> UploadedImages:
    memory = ImageStore(settings.image_store_bytes, settings.image_ttl_s)
    metrics.image_store_bytes.set_function(lambda: memory.size_bytes)
    metrics.image_store_images.set_function(lambda: len(memory))
    folder = open_folder(settings)

    def geometry() -> TileGeometry:
        card = queue.loaded()
        return TileGeometry(card.image_tiles, card.tile_px)

    return UploadedImages(memory, folder, metrics, geometry, queue.deletions.delete)


@asynccontextmanager
async def _lifespan(
    parts: ServiceParts,
    watch_keys: Callable[[], Coroutine[Any, Any, None]],
    tracing: RequestTracing | None,
    _: FastAPI,
) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    parts.metrics.event_loop_tasks.set_function(lambda: len(asyncio.all_tasks(loop)))
    parts.decoders.start()
    await parts.queue.start()
    upkeep = [
        asyncio.create_task(parts.images.keep_tidy()),
        asyncio.create_task(keep_up("the return of freed memory", _return_memory)),
        asyncio.create_task(keep_up("the watch of the key files", watch_keys)),
    ]
    try:
        yield
    finally:
        for task in upkeep:
            task.cancel()
        parts.counting.shutdown()
        parts.explaining.shutdown()
        parts.hashing.shutdown(wait=False, cancel_futures=True)
        await parts.decoders.stop()
        await asyncio.gather(parts.queue.stop(), *([tracing.close()] if tracing else []))


async def _return_memory() -> None:
    while True:
        await asyncio.sleep(TRIM_S)
        await asyncio.to_thread(return_freed_memory)
