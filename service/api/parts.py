"""The parts of the running service that a route may ask for, and how it gets them.

Knows no route. `create_app` makes the parts; a route names them as a parameter: `parts: Parts`. Event loop.
"""

from __future__ import annotations

import time
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from service.api.image_store import ImageStore
from service.dispatch.queue import RequestQueue
from service.metrics import Metrics
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class ServiceParts:
    """The running service, as far as the routes need it."""

    settings: Settings
    queue: RequestQueue
    metrics: Metrics
    executor: Executor
    images: ImageStore
    started_unix_s: float = field(default_factory=time.time)


async def parts_of(request: Request) -> ServiceParts:
    """The parts that `create_app` put beside its routes."""
    parts: ServiceParts = request.app.state.parts
    return parts


Parts = Annotated[ServiceParts, Depends(parts_of)]
