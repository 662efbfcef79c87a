"""The whole service as its users meet it: a real process, real HTTP, real kills, against golden answers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from loadtest.storm import storm
from tests.support.collector import CollectedSpan, Collector, collecting
from tests.support.golden import golden_folders
from tests.support.serving import Server, data_uri, events_of, running_server, wait_until

GREEDY = {"max_tokens": 24, "temperature": 0}


def cases_of(folder: Path) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((folder / "cases.json").read_text(encoding="utf-8"))["cases"]
    return cases


def fields(folder: Path, case: dict[str, Any], **more: Any) -> dict[str, Any]:
    uri = data_uri((folder / case["image"]).read_bytes(), "image/png")
    return {"image_url": uri, "question": case["question"], "settings": GREEDY} | more


def ask(server: Server, folder: Path, case: dict[str, Any], **more: Any) -> str:
    response = httpx.post(f"{server.url}/v1/vqa", json=fields(folder, case, **more), timeout=60)
    assert response.status_code == 200, response.text
    answer: str = response.json()["answer"]
    return answer


def ask_streamed(server: Server, folder: Path, case: dict[str, Any], began: threading.Event | None = None) -> str:
    text = ""
    body = fields(folder, case, stream=True)
    with httpx.stream("POST", f"{server.url}/v1/vqa", json=body, timeout=60) as response:
        assert response.status_code == 200
        for event in events_of(response):
            text += event.get("chunk", "")
            if began is not None:
                began.set()
        assert event["completed"] is True
        assert "error" not in event
    return text


def worker_pid(server: Server) -> int:
    for child in Path(f"/proc/{server.process.pid}/task").glob("*/children"):
        for pid in child.read_text().split():
            if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text():
                return int(pid)
    raise AssertionError("the service has no worker")


@pytest.fixture(scope="module", params=golden_folders(), ids=lambda folder: folder.name)
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Server, Path]]:
    with running_server(warm=False, model=request.param, max_waiting=200, default_max_tokens=64) as server:
        yield server, request.param


def test_every_golden_answer_comes_one_at_a_time(served: tuple[Server, Path]) -> None:
    server, folder = served
    for case in cases_of(folder):
        assert ask(server, folder, case) == case["answer"]
        assert ask_streamed(server, folder, case) == case["answer"]


def test_every_golden_answer_comes_sixteen_at_once_streamed_and_not(served: tuple[Server, Path]) -> None:
    server, folder = served
    cases = cases_of(folder)
    with ThreadPoolExecutor(16) as clients:
        plain = clients.map(lambda case: ask(server, folder, case), cases)
        streamed = clients.map(lambda case: ask_streamed(server, folder, case), cases)
        assert list(plain) == list(streamed) == [case["answer"] for case in cases]


def test_a_second_question_on_the_same_image_encodes_no_tile_as_the_metrics_show(served: tuple[Server, Path]) -> None:
    server, folder = served
    case = cases_of(folder)[0]
    ask(server, folder, case)
    before = {name: server.metric(f"pheye_{name}_total") for name in ("encoded_tiles", "feature_cache_hits")}
    response = httpx.post(f"{server.url}/v1/vqa", json=fields(folder, case, question="And now?"), timeout=60).json()
    assert response["usage"]["image_features_cached"] is True
    assert server.metric("pheye_encoded_tiles_total") == before["encoded_tiles"]
    assert server.metric("pheye_feature_cache_hits_total") == before["feature_cache_hits"] + 1


def test_several_questions_are_answered_in_one_pass_as_if_asked_alone(served: tuple[Server, Path]) -> None:
    server, folder = served
    cases = [case for case in cases_of(folder) if case["image"] == cases_of(folder)[0]["image"]]
    body = fields(folder, cases[0], questions=[case["question"] for case in cases])
    del body["question"]
    response = httpx.post(f"{server.url}/v1/vqa", json=body, timeout=60)
    assert response.json()["answers"] == [case["answer"] for case in cases]


def test_a_worker_killed_in_the_middle_of_eight_requests_loses_no_answer() -> None:
    """Sampled answers of the random model: long enough to be in the middle of, and no two alike."""
    folder = golden_folders()[0]

    def collect(server: Server, index: int, began: threading.Event, trace_id: str = "") -> str:
        settings = {"max_tokens": 250, "temperature": 1.0, "seed": index}
        body, text = fields(folder, cases_of(folder)[index], stream=True, settings=settings), ""
        headers = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
        with httpx.stream("POST", f"{server.url}/v1/vqa", json=body, headers=headers, timeout=120) as response:
            for event in events_of(response):
                text += event.get("chunk", "")
                began.set()
            assert "error" not in event
        return text

    with collecting() as collector, traced_server(collector) as server, ThreadPoolExecutor(8) as clients:
        undisturbed = list(clients.map(lambda index: collect(server, index, threading.Event()), range(8)))
        assert len(set(undisturbed)) == 8
        begun = [threading.Event() for _ in range(8)]
        traces = [uuid4().hex for _ in range(8)]
        running = [clients.submit(collect, server, index, begun[index], traces[index]) for index in range(8)]
        assert all(event.wait(60) for event in begun)
        assert not any(future.done() for future in running)
        os.kill(worker_pid(server), signal.SIGKILL)
        assert [future.result() for future in running] == undisturbed
        assert server.metric("pheye_worker_restarts_total") == 1
        assert server.metric("pheye_request_replays_total") == 8
        assert httpx.get(f"{server.url}/readyz").status_code == 200
        for trace_id in traces:
            assert_replayed(collector.trace(trace_id))


def assert_replayed(spans: list[CollectedSpan]) -> None:
    """The death of its worker is an event of an answer, and the phases before it and behind it are told."""
    (answer,) = (span for span in spans if span.name.startswith("generate_content"))
    ((name, told),) = answer.events
    assert name == "worker died"
    assert 0 < told["pheye.completion_tokens"] < answer.attributes["gen_ai.usage.output_tokens"]
    phases = [span for span in spans if span.parent == answer.id]
    names = [span.name for span in phases]
    assert names[:3] == ["queue", "prefill", "decode"]  # as the API process saw them
    assert names[-2:] == ["prefill", "decode"]
    assert all(before.end_ns == after.start_ns for before, after in pairwise(phases))


@contextmanager
def traced_server(collector: Collector) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        with running_server(warm=False) as server:
            yield server


def test_two_hundred_requests_of_32_clients_with_hang_ups_leave_no_slot_taken(served: tuple[Server, Path]) -> None:
    server, folder = served
    images = [path.read_bytes() for path in sorted((folder / "images").iterdir())]
    report = asyncio.run(storm(server.url, images, requests=200, clients=32, seed=7))
    assert report.hung_up > 20
    assert report.answered == 200 - report.hung_up
    assert set(report.statuses) == {"200"}
    wait_until(lambda: server.metric("pheye_slots_used") == 0)
    wait_until(lambda: server.metric("pheye_requests_waiting") == 0)
    assert server.metric("pheye_requests_running") == 0


def test_sigterm_finishes_what_runs_and_exits_with_zero(served: tuple[Server, Path]) -> None:
    _, folder = served
    case = max(cases_of(folder), key=lambda case: len(case["greedy_eos"]))
    with running_server(warm=False, model=folder) as server, ThreadPoolExecutor(1) as client:
        began = threading.Event()
        running = client.submit(ask_streamed, server, folder, case, began)
        assert began.wait(60)
        server.process.send_signal(signal.SIGTERM)
        assert running.result() == case["answer"]
        assert server.process.wait(30) == 0


def test_the_api_process_never_loads_torch_nor_what_sends_traces_unless_asked() -> None:
    heavy = "sys.exit(bool({'torch', 'transformers', 'opentelemetry.sdk', 'google.protobuf'} & set(sys.modules)))"
    code = f"import service.api.server, service.cli.main, sys; {heavy}"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_server_starts_without_what_other_commands_workers_agents_and_rates_need() -> None:
    unneeded = ["service.cli.main", "rich", "service.worker.main", "httpx", "service.mcp.tools", "limits"]
    code = (
        f"import sys; sys.argv = ['pheye', 'serve', '--port', '99999']; from service.cli.entry import main\n"
        f"try: main()\nexcept SystemExit: import service.api.server\n"
        f"print([name for name in {unneeded!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "--port (or PHEYE_PORT)" in done.stderr, "the command has read its words"
    assert done.stdout == "[]\n"
