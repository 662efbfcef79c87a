"""What no wait could get in is refused for good, whatever its own limit is: 422 or 413, never 429."""

from __future__ import annotations

import asyncio
from typing import Any, cast
from unittest.mock import Mock

import httpx
import pytest

from service.api.app import create_app
from service.api.parts import ServiceParts
from service.api.routes.caption_vqa import question_instructions
from service.configuration.settings import Settings
from service.dispatch.queue import RequestQueue
from service.errors import InvalidField
from service.metrics.service_metrics import Metrics
from service.schemas.requests import VqaRequest, check

MIB = 1 << 20


def answered(settings: Settings, method: str, path: str, content: bytes = b"") -> httpx.Response:
    """Ask the application, which never loads a model."""
    metrics = Metrics()
    app = create_app(settings, RequestQueue(settings, metrics), metrics)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(cast(Any, app))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, content=content)

    return asyncio.run(ask())


def test_a_body_beyond_the_memory_of_all_bodies_is_too_large() -> None:
    settings = Settings(max_upload_bytes=MIB)  # below the 20 MiB that one body may have by default
    assert answered(settings, "POST", "/v1/caption", bytes(MIB + 1)).status_code == 413
    limits = answered(settings, "GET", "/v1").json()["limits"]
    assert limits["body_bytes"] == MIB


def test_more_questions_than_may_wait_are_too_many() -> None:
    parts = Mock(spec=ServiceParts, settings=Settings(max_waiting=2))  # below the 16 that one request may ask
    fields = check(VqaRequest, {"questions": ["What?"] * 3}, strict=False)
    with pytest.raises(InvalidField, match="3 are more than the 2 allowed in one request"):
        question_instructions(parts, fields)
