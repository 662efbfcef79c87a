"""Many loads on several servers: in turns, with the same requests, and never with an image from before."""

from __future__ import annotations

import asyncio

import pytest

from loadtest.loops import ClosedLoop
from loadtest.mix import Mix
from loadtest.servers import Server, ServerError
from loadtest.summary import Summary
from loadtest.sweep import Load, LoadMeasurement, PreparedLoad, measure, prepare
from tests.loadtest.report.test_results import summary
from tests.support.scripted import JSON, Line, serving

MIX = Mix(width_px=16, height_px=16)
ANSWER: Line = (200, JSON, None, b'{"usage": {"completion_tokens": 4}}')
NO_METRICS: Line = (404, JSON, None, b"{}")


def metrics(seconds: float) -> Line:
    text = f'# TYPE pheye_step_seconds histogram\npheye_step_seconds_sum{{phase="encode"}} {seconds}\n'
    return (200, "text/plain", None, text.encode())


def test_servers_take_turns_and_are_asked_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, PreparedLoad]] = []

    async def run(self: PreparedLoad, server: Server) -> Summary:
        asked.append((server.name, self))
        return summary()

    async def collect() -> list[LoadMeasurement]:
        servers = [Server("a", "http://a"), Server("b", "http://b")]
        loads = [Load(MIX, ClosedLoop(clients), requests=3, warm_up=1) for clients in (1, 2)]
        return [point async for point in measure(servers, loads, 2, seed=7)]

    monkeypatch.setattr(PreparedLoad, "run", run)
    points = asyncio.run(collect())
    order = [(point.repeat, point.load.loop.pressure, point.server) for point in points]
    assert order == [(repeat, clients, server) for repeat in (0, 1) for clients in (1, 2) for server in "ab"]
    for (_, first), (_, second) in zip(asked[::2], asked[1::2], strict=True):
        assert first == second
    images = [ask.image for _, prepared in asked[::2] for ask in [*prepared.warm_up, *prepared.asks]]
    assert len(set(images)) == len(images) == 4 * 4


def test_a_load_is_measured_after_its_warm_up_with_the_servers_own_work() -> None:
    load = Load(MIX, ClosedLoop(1), requests=3, warm_up=2)
    with serving(ANSWER, ANSWER, metrics(5.0), ANSWER, ANSWER, ANSWER, metrics(6.5)) as server:
        found = asyncio.run(prepare(load, "1").run(Server("a", server.url)))
        assert not server.lines
    assert (found.requests, found.answered, found.tokens) == (3, 3, 12)
    assert found.engine_s_per_answer == pytest.approx(0.5)


def test_a_server_without_metrics_is_measured_too() -> None:
    with serving(NO_METRICS, ANSWER, NO_METRICS) as server:
        prepared = prepare(Load(MIX, ClosedLoop(1), requests=1, warm_up=0), "1")
        found = asyncio.run(prepared.run(Server("a", server.url)))
    assert (found.answered, found.engine_s_per_answer) == (1, None)


def test_a_server_that_does_not_answer_its_warm_up_is_not_measured() -> None:
    with serving((422, JSON, None, b"stream: no")) as server:
        prepared = prepare(Load(MIX, ClosedLoop(1), requests=1, warm_up=1), "1")
        with pytest.raises(ServerError, match="a: a warm-up request was not answered: 422 stream: no"):
            asyncio.run(prepared.run(Server("a", server.url)))
