"""A refusal that passes says when to come back: 503 and 429 on every route that can give one.

The application runs in this process without its workers: its queue is put into each state by hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import httpx
import pytest

from model.config import named_geometry
from service.api.app import create_app
from service.api.openapi.examples import DISC
from service.configuration.settings import Settings
from service.dispatch.queue import RequestQueue
from service.errors import ServiceError, Unavailable, WaitingRoomFull
from service.messages.from_worker import ModelCard
from service.metrics.service_metrics import Metrics

CARD = ModelCard("eye", "cpu", "float32", "", 1, named_geometry("pheye-micro"), 1024, 8, "weights", 2**20)
METHODS = ("get", "post", "put", "patch", "delete")


class Service:
    """The application with a queue that nobody started."""

    def __init__(self, **settings: Any) -> None:
        metrics = Metrics()
        chosen = Settings(**settings)
        self.queue = RequestQueue(chosen, metrics)
        self.app = create_app(chosen, self.queue, metrics)

    def load(self) -> None:
        """As if a worker were ready."""
        worker = self.queue.workers.supervisors[0]
        self.queue.card = worker.card = CARD
        worker.tokenizer = Mock(encode=list, fewest_tokens=lambda text: 0)

    def ask(self, method: str, path: str, json: Any = None) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                return await client.request(method, path, json=json)

        return asyncio.run(send())

    def dropped(self, reason: str) -> float:
        return float(self.queue._metrics.requests_dropped.labels(reason)._value.get())


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every route of the document."""
    for path, item in Service().app.openapi()["paths"].items():
        yield from ((method, path, item[method]) for method in METHODS if method in item)


def example(operation: dict[str, Any]) -> Any:
    """The first example of what a route takes, if it takes anything."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return next(iter(content.get("examples", {}).values()), {"value": None})["value"]


def about_the_disc(operation: dict[str, Any]) -> Any:
    """The same with an image where it is left out: only then an estimate needs a place in the queue."""
    body = example(operation)
    return body if "messages" in body else body | {"image_url": DISC}


ALL = [pytest.param(*each, id=f"{each[0].upper()} {each[1]}") for each in operations()]
BUSY = [each for each in ALL if "requestBody" in each.values[2]]  # type: ignore[operator]


def assert_come_back(response: httpx.Response, status: int, words: str) -> None:
    assert response.status_code == status, response.text
    assert 1 <= int(response.headers["retry-after"]) <= 60
    assert words in response.text


@pytest.mark.parametrize(("method", "path", "operation"), ALL)
def test_while_the_model_loads_every_route_that_needs_it_says_when_to_come_back(method, path, operation):
    response = Service().ask(method, path.replace("{", "").replace("}", ""), example(operation))
    passing = operation["responses"].get("503")
    if passing is not None:
        assert "Retry-After" in passing["headers"]
    loads = passing is not None and passing["description"].startswith("The model is loading")
    if loads:  # not where only a folder may fail, which this service has not
        assert_come_back(response, 503, "the model is loading")
    else:
        assert response.status_code < 500


@pytest.mark.parametrize(("method", "path", "operation"), BUSY)
def test_a_service_that_shuts_down_says_when_to_come_back(method, path, operation):
    service = Service()
    service.load()
    service.queue._draining = True
    assert_come_back(service.ask(method, path, about_the_disc(operation)), 503, "the service is shutting down")
    assert service.dropped("draining") == 1


@pytest.mark.parametrize(("method", "path", "operation"), BUSY)
def test_a_service_that_is_full_says_when_to_come_back(method, path, operation):
    service = Service(max_waiting=1)
    service.load()
    with service.queue.reserve(1):
        assert_come_back(service.ask(method, path, about_the_disc(operation)), 429, "1 of 1 places are taken")
    assert service.dropped("full") == 1
    assert "Retry-After" in operation["responses"]["429"]["headers"]


@pytest.mark.parametrize(("method", "path", "operation"), BUSY)
def test_a_request_that_came_before_the_model_is_counted_once(method, path, operation):
    service = Service()
    service.ask(method, path, example(operation))
    assert service.dropped("loading") == 1


def test_probing_a_service_that_loads_counts_nothing():
    service = Service()
    assert_come_back(service.ask("get", "/readyz"), 503, "the model is loading")
    assert service.dropped("loading") == 0


@pytest.mark.parametrize("kind", [Unavailable, WaitingRoomFull])
def test_a_failure_that_passes_cannot_be_raised_without_a_time_to_come_back(kind: type[ServiceError]):
    assert kind("words").retry_after_s is not None
    assert kind("words", retry_after_s=7).retry_after_s == 7
    assert ServiceError("words").retry_after_s is None
