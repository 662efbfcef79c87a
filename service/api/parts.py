"""The parts of the running service, which routes get by FastAPI's dependency injection.

Knows no route. `create_app` makes the parts; a route names them as a parameter: `parts: Parts`. Event loop.
"""

from __future__ import annotations

import time
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from service.api.fair_threads import FairThreads
from service.api.uploaded_images import UploadedImages
from service.configuration.settings import Settings
from service.decoding.pool import DecoderPool
from service.dispatch.queue import RequestQueue
from service.fetching.fetcher import ImageFetcher
from service.metrics.service_metrics import Metrics

ANY_NAME = "*"  # the alias that stands for every name


@dataclass(frozen=True, slots=True)
class ServiceParts:
    """The parts of the running service that routes may use.

    Attributes:
        settings: what the operator has chosen.
        queue: accepted requests and the workers.
        metrics: what is counted.
        counting: threads for counting tokens.
        explaining: threads for writing explanations as JSON.
        hashing: threads for hashing large files; nothing slower may run there, because every large image needs them.
        decoders: processes that decode images.
        images: uploaded images.
        fetcher: images by URL.
        started_unix_s: when the service started.
    """

    settings: Settings
    queue: RequestQueue
    metrics: Metrics
    counting: FairThreads
    explaining: FairThreads
    hashing: Executor
    decoders: DecoderPool
    images: UploadedImages
    fetcher: ImageFetcher
    started_unix_s: float = field(default_factory=time.time)

    def serves(self, name: str | None) -> bool:
        """Say whether a request that asks for this model is answered: it names it, an alias, or none.

        Raises:
            Unavailable: the model is loading.
        """
        served, aliases = self.queue.loaded().name, self.settings.aliases
        return name in (None, served) or name in aliases or ANY_NAME in aliases

    def not_ready(self) -> str | None:
        """Say why the service should not be given work now, or None if it should: readiness."""
        return self.queue.not_ready() or self.decoders.not_ready()


async def parts_of(request: Request) -> ServiceParts:
    """Return the parts that `create_app` has put beside its routes."""
    parts: ServiceParts = request.app.state.parts
    return parts


Parts = Annotated[ServiceParts, Depends(parts_of)]
