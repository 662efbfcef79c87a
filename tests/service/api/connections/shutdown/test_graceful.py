"""Graceful shutdown of a real server: lame duck, closing the listener, grace, a second signal, the last resort."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import httpx
import psutil
import pytest
import uvicorn
from fastapi import FastAPI

from service.api.connections.registry import OpenConnections
from service.api.connections.shutdown import watchdog
from service.api.connections.shutdown.graceful import DrainingServer
from service.api.connections.shutdown.running import RunningRequests
from service.configuration.settings import Settings
from service.dispatch.queue import RequestQueue
from service.errors import Unavailable
from service.messages.from_worker import ModelCard
from service.metrics.service_metrics import Metrics
from service.schemas.responses import StreamFailure
from tests.support.attackers import POST, connect, read_to_end
from tests.support.serving import ENDLESS, SERVE, Server, assert_problem, body, events_of, running_server, wait_until

LONG = {"max_tokens": 700, **ENDLESS}
MIDDLING = LONG | {"max_tokens": 250}  # goes on for as long as it takes to see that the listener is closed


@pytest.fixture
def own_server():
    with running_server() as running:
        yield running


@pytest.fixture
def spawned_server():
    with running_server(warm=False) as running:
        yield running


def refuses_connections(server: Server) -> bool:
    """Look for the listener: a connection tried while it closes hangs for a second, until its packet comes again."""
    states = [each.status for each in psutil.Process(server.process.pid).net_connections("tcp")]
    return psutil.CONN_LISTEN not in states


def test_a_signal_ends_the_service_after_the_running_answers(spawned_server: Server) -> None:
    undisturbed = httpx.post(f"{spawned_server.url}/v1/caption", json=body(settings=MIDDLING), timeout=60).json()
    asked = body(stream=True, settings=MIDDLING)
    with spawned_server.client() as client, client.stream("POST", "/v1/caption", json=asked) as response:
        events = events_of(response)
        next(events)
        spawned_server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: refuses_connections(spawned_server))
        *_, end = events
    assert end["usage"]["completion_tokens"] == undisturbed["usage"]["completion_tokens"] > 100
    assert spawned_server.process.wait(15) == 0
    assert spawned_server.log.rstrip().endswith("pheye: stopped")
    assert "Traceback" not in spawned_server.log


def test_for_the_delay_the_service_is_not_ready_and_still_accepts() -> None:
    with running_server(drain_delay_s=3.0) as server, server.client() as client:
        client.get("/livez")  # a connection that is kept alive
        server.process.send_signal(signal.SIGTERM)
        ready = wait_until(lambda: (now := httpx.get(f"{server.url}/readyz")).status_code == 503 and now)
        assert_problem(ready, 503, "the service is shutting down")
        assert int(ready.headers["retry-after"]) > 0
        assert server.metric("pheye_ready") == 0.0
        answer = client.post("/v1/caption", json=body())
        assert answer.is_success
        assert answer.headers["connection"] == "close"
        assert httpx.post(f"{server.url}/v1/caption", json=body()).is_success
        assert server.process.wait(15) == 0


def test_at_a_terminal_nobody_waits_for_the_delay() -> None:
    with running_server(drain_delay_s=60.0) as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(15) == 0


def test_a_connection_that_is_open_may_ask_once_more_during_the_grace(own_server: Server) -> None:
    lasting = httpx.Limits(keepalive_expiry=60)  # a busy machine may take longer than the five seconds of httpx
    with own_server.client(limits=lasting) as kept, own_server.client() as other:
        assert kept.get("/livez").is_success
        with other.stream("POST", "/v1/caption", json=body(stream=True, settings=MIDDLING)) as response:
            events = events_of(response)
            next(events)
            own_server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: refuses_connections(own_server))
            answer = kept.post("/v1/caption", json=body())
            assert answer.is_success
            assert answer.headers["connection"] == "close"
            assert list(events)[-1]["completed"]
    assert own_server.process.wait(15) == 0


def test_closing_the_listener_resets_nobody() -> None:
    with running_server() as server:
        outcomes: list[str] = []

        def ask() -> None:
            while True:
                try:
                    with connect(server) as client:
                        client.sendall(b"GET /v1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                        outcomes.append(read_to_end(client)[:12].decode())
                except ConnectionRefusedError:
                    return

        clients = [threading.Thread(target=ask) for _ in range(8)]
        for each in clients:
            each.start()
        wait_until(lambda: len(outcomes) > 100, 60)
        server.process.send_signal(signal.SIGTERM)
        for each in clients:
            each.join()
        assert server.process.wait(15) == 0
    assert set(outcomes) == {"HTTP/1.1 200"}


def test_a_second_signal_gives_every_waiting_request_its_503_at_once() -> None:
    with running_server(slots=1, max_waiting=64) as server, ThreadPoolExecutor(8) as pool:
        asked = body(questions=["a"] * 8, settings=LONG)
        with connect(server) as uploading, server.client() as client:
            uploading.sendall(POST + b"Content-Length: 100\r\n\r\n{")
            with client.stream("POST", "/v1/vqa", json=asked | {"stream": True}) as response:
                streamed = pool.submit(lambda: list(events_of(response)))
                waiting = [pool.submit(httpx.post, f"{server.url}/v1/vqa", json=asked, timeout=60) for _ in range(6)]
                wait_until(lambda: server.metric("pheye_requests_waiting") >= 50)
                server.process.send_signal(signal.SIGTERM)
                wait_until(lambda: "draining" in server.log)
                server.process.send_signal(signal.SIGTERM)
                began_s = time.monotonic()
                for each in waiting:
                    assert int(assert_problem(each.result(), 503, "stopped before").get("status", 0)) == 503
                    assert int(each.result().headers["retry-after"]) > 0
                *_, end = streamed.result()
            assert read_to_end(uploading).startswith(b"HTTP/1.1 503 ")
        assert StreamFailure.model_validate(end, extra="forbid").error.status == 503
        assert server.process.wait(8) == 0
        assert time.monotonic() - began_s < 6
        assert "Traceback" not in server.log


@pytest.mark.parametrize(
    ("hang", "code"),
    [
        pytest.param("threading.Thread(target=time.sleep, args=(60,)).start()", 0, id="a-thread"),
        pytest.param("RequestQueue.drain = lambda self, grace_s: asyncio.sleep(60)", 1, id="the-drain"),
        pytest.param("RequestQueue.drain = lambda self, grace_s: time.sleep(60)", 1, id="the-event-loop"),
    ],
)
def test_whatever_hangs_the_process_ends_soon_after_the_grace_and_its_worker_with_it(hang: str, code: int) -> None:
    before = f"""
import asyncio, threading, time
import service.api.connections.shutdown.graceful as shutdown
from service.dispatch.queue import RequestQueue
shutdown.HARD_EXIT_S, shutdown.TEARDOWN_S = 1.5, 1.5
{hang}
"""
    with running_server(warm=False, serve=f"{before}\n{SERVE}", drain_grace_s=1.0) as server:
        worker = int(re.findall(r"worker \d+ on \S+ \(process (\d+)\)", server.log)[-1])
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == code
        wait_until(lambda: not os.path.exists(f"/proc/{worker}"))


def test_a_device_that_fails_for_good_ends_the_service_after_the_answers_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.api.connections.shutdown.graceful.end_process_after", Mock())

    async def scenario() -> None:
        settings, metrics = Settings(), Metrics()
        queue = RequestQueue(settings, metrics)
        queue.workers.supervisors[0].card = Mock(slots=8)
        connections = OpenConnections(settings, Mock(most=10), metrics)
        loaded: list[ModelCard] = []
        config = uvicorn.Config(FastAPI())
        server = DrainingServer(config, queue, settings, connections, RunningRequests(), loaded.append)
        place = queue.reserve(1)
        queue._cannot_load("the other device is not there")
        await server.on_tick(1)
        with pytest.raises(Unavailable, match="the other device is not there"):
            queue.reserve(1)
        await asyncio.sleep(0.1)
        assert not server.should_exit
        queue.leave(place)
        await asyncio.sleep(1.0)
        assert server.should_exit

    asyncio.run(scenario())


def test_without_a_thread_for_the_watchdog_the_orderly_end_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(threading.Thread, "start", Mock(side_effect=RuntimeError("can't start new thread")))
    watchdog.end_process_after(0.0, 1)
    assert "nothing ends the process if it hangs: can't start new thread" in caplog.text
    ended = Mock()
    monkeypatch.setattr(watchdog.os, "_exit", ended)
    monkeypatch.setattr(watchdog.multiprocessing, "active_children", list)
    watchdog._end_now(0.0, 3)
    ended.assert_called_once_with(3)
