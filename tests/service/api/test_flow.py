"""Whom a request counts for in fair queueing, on every route that does work. In this process, without workers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.configuration.key_files import digest_of
from service.errors import WaitingRoomFull
from service.messages.rows import Flow
from tests.service.api.test_retry_after import Service
from tests.support.serving import data_uri, image_file

IMAGE = data_uri(image_file())
CHAT = [
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": IMAGE}}, {"type": "text", "text": "?"}]}
]
KEYS = """
[[key]]
name = "web"
key = "web"
weight = 2.5

[[key]]
name = "nightly"
key = "nightly"
priority = "bulk"
"""
ROUTES = [
    ("/v1/caption", {"image_url": IMAGE}),
    ("/v1/vqa", {"image_url": IMAGE, "question": "?"}),
    ("/v1/query", {"image_url": IMAGE, "question": "?"}),
    ("/v1/images", {"image_url": IMAGE}),
    ("/v1/estimate", {"image_url": IMAGE}),
    ("/v1/chat/completions", {"messages": CHAT}),
]


class Watched(Service):
    """The service, whose queue refuses everybody and remembers whom."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.load()
        self.flows: list[Flow] = []

        def reserve(rows: int, flow: Flow, exemplar: object = None) -> None:
            self.flows.append(flow)
            raise WaitingRoomFull("full", retry_after_s=1)

        self.queue.reserve = reserve  # type: ignore[method-assign, assignment]

    def flow_of(self, path: str, body: dict[str, Any], key: str = "") -> Flow:
        async def send() -> None:
            transport = httpx.ASGITransport(self.app, client=("10.1.2.3", 5))
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                response = await client.post(path, json=body, headers={"Authorization": f"Bearer {key}"})
                assert response.status_code == 429, response.text

        asyncio.run(send())
        return self.flows[-1]


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    file: Path = tmp_path_factory.mktemp("keys") / "keys.toml"
    file.write_text(KEYS)
    return Watched(keys_file=str(file), api_keys="plain")


@pytest.mark.parametrize(("path", "body"), ROUTES, ids=[path for path, _ in ROUTES])
def test_every_route_that_does_work_counts_for_its_key_by_the_keys_file(keyed: Watched, path: str, body: Any) -> None:
    assert keyed.flow_of(path, body, "web") == Flow(digest_of(b"web"), 2.5)
    assert keyed.flow_of(path, body, "plain") == Flow(digest_of(b"plain"))
    assert keyed.flow_of(path, body, "nightly") == Flow(digest_of(b"nightly"), 1.0, "bulk")


@pytest.mark.parametrize("path", ["/v1/caption", "/v1/vqa", "/v1/query", "/v1/estimate"])
def test_a_request_may_be_bulk_and_cannot_be_more_than_its_key(keyed: Watched, path: str) -> None:
    body = dict(ROUTES)[path]
    assert keyed.flow_of(path, body | {"priority": "bulk"}, "web").priority == "bulk"
    assert keyed.flow_of(path, body | {"priority": "interactive"}, "nightly").priority == "bulk"


@pytest.mark.parametrize(
    ("tier", "priority"),
    [("flex", "bulk"), ("auto", "interactive"), ("default", "interactive"), ("priority", "interactive")],
)
def test_a_chat_says_it_by_its_service_tier(keyed: Watched, tier: str, priority: str) -> None:
    body = {"messages": CHAT, "service_tier": tier}
    assert keyed.flow_of("/v1/chat/completions", body, "web").priority == priority


def test_without_keys_a_request_counts_for_its_address() -> None:
    assert Watched().flow_of(*ROUTES[0]) == Flow("10.1.2.3")
