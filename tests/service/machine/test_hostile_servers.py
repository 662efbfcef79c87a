"""Servers that answer with anything but what a service answers, asked by `pheye doctor` and the other commands."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import Mapping

import httpx
import pytest

from service import mcp_process
from service.batch.answerers import bounded_http
from service.batch.answerers import server as server_module
from service.batch.answerers.server import ServiceConnection, ServiceConnectionError, contact
from service.configuration.plain_words import SHOWN_CHARS
from service.machine import running_server
from service.machine.doctor import block
from service.machine.running_server import running
from service.mcp.service_client import ToolError, answered
from service.schemas.service_card import LimitFields, ServiceCard
from tests.support.hostile_web import Handler, again_and_again, answer, hostile_web

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
ENDLESS = again_and_again(HEAD, b"[" * 65536)
DRIPPING = again_and_again(b"HTTP/1.1 200 OK\r\nX-Head: ", b"x", 0.02)
GZIPPED = answer(gzip.compress(b"[" * (1 << 22)), "Content-Encoding: gzip")
PATHS = ("/v1", "/readyz", "/metrics")
CARD: Mapping[str, object] = {
    "name": "pheye",
    "version": "0\n## faked",
    "model": None,
    "limits": {"questions": 2, "body_bytes": 1, "pixels": 1, "formats": [], "image_urls": False, "deadline_s": 60},
    "links": {},
}


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bound by sizes and shapes alone: a loaded machine may need longer for a megabyte."""
    wait_for(30.0, monkeypatch)


def wait_for(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "CARD_S", seconds)
    monkeypatch.setattr(running_server, "ASK_S", seconds)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (ENDLESS, "no answer (it has more than 1048576 bytes)"),
        (DRIPPING, "no answer (it did not end within 0.3 s)"),
        (GZIPPED, "no answer (it is compressed, which was not asked for)"),
        (answer(b"[" * 100_000), "this is no Pheye service"),
    ],
    ids=["endless", "dripping", "compressed", "nested"],
)
def test_no_more_is_read_of_a_server_than_one_has_to_say(
    said: bytes | Handler, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if said is DRIPPING:
        wait_for(0.3, monkeypatch)
    with hostile_web(dict.fromkeys(PATHS, said)) as web:
        server = ServiceConnection(web.url(""))
        assert words in " ".join(line for finding in running(server) for line in finding.faults)
        with pytest.raises(ServiceConnectionError, match=re.escape(words)):
            contact(server, lambda _: None)


def test_an_endless_answer_to_a_tool_or_an_image_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_process, "ANSWER_BYTES", 1 << 20)
    with hostile_web({"/v1/caption": ENDLESS}) as web:
        limits = LimitFields.model_construct(deadline_s=60.0)
        there = mcp_process.RunningService(ServiceConnection(web.url("")), ServiceCard.model_construct(limits=limits))
        with pytest.raises(ToolError, match="it has more than 1048576 bytes"):
            asyncio.run(answered(there, "/v1/caption", {}, None))

        async def post() -> None:
            async with httpx.AsyncClient(base_url=web.url("")) as client:
                await bounded_http.request(client, 1 << 20, 60.0, method="POST", url="/v1/caption")

        with pytest.raises(bounded_http.AnswerOutOfBoundsError, match="more than 1048576"):
            asyncio.run(post())


def test_a_head_that_drips_to_a_batch_has_its_time_as_a_whole() -> None:
    async def post(url: str) -> None:
        async with httpx.AsyncClient(base_url=url, timeout=httpx.Timeout(30.0, read=0.2)) as client:
            await bounded_http.request(client, 1 << 20, 60.0, method="POST", url="/v1/caption", data={"a": "b"})

    with (
        hostile_web({"/v1/caption": DRIPPING}) as web,
        pytest.raises(bounded_http.AnswerOutOfBoundsError, match=r"its head did not end within 0.2 s"),
    ):
        asyncio.run(post(web.url("")))


@pytest.mark.parametrize(
    "ready",
    [[1, 2, 3], {"model": "a\n## faked", "x": "y" * 100_000}, None, {"status": ["ready"]}],
    ids=["list", "no status", "null", "nested"],
)
def test_readiness_of_another_shape_is_a_fault(ready: object) -> None:
    answers = {"/readyz": answer(json.dumps(ready).encode()), "/v1": answer(b"{}"), "/metrics": answer(b"")}
    with hostile_web(answers) as web:
        found = running(ServiceConnection(web.url("")))
    assert [bool(each.faults) for each in found if each.topic == "server ready"] == [True]
    assert "faked" not in block(found)


def test_what_a_server_says_is_plain_and_short_in_the_block() -> None:
    ready = {"status": "ready", "model": "a\n## faked\u001b[2J\ud800", "device": "y" * 100_000, "x": "own"}
    series = "".join(f'pheye_slots{{a="{number}{"z" * 500}"}} 1\n' for number in range(1000)) + "pheye_slots_used x\n"
    answers = {
        "/v1": answer(json.dumps(CARD).encode()),
        "/readyz": answer(json.dumps(ready).encode()),
        "/metrics": answer(series.encode()),
    }
    with hostile_web(answers) as web:
        found = running(ServiceConnection(web.url("")))
    card, readiness, metrics = found
    assert r"version 0\n## faked" in card.lines[0]
    assert readiness.lines[0].startswith(r"model a\n## faked\x1b[2J\ud800, device yyy")
    assert "own" not in readiness.lines[0]
    assert len(readiness.lines[0]) < 2 * SHOWN_CHARS
    assert metrics.lines[0].endswith(", and 960 more")
    assert len(block(found)) < 20_000
    assert not [finding for finding in found if finding.faults]
