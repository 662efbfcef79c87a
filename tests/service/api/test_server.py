"""Beginnings of the server process: loading, failing to load, workers that die, deadlines."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
from functools import partial

import httpx
import pytest

from model.complexity import slot_bytes
from model.config import named_geometry
from service.api.server import announce
from service.configuration.settings import Settings
from service.messages.from_worker import ModelCard
from service.schemas.responses import StreamFailure
from tests.support.serving import ENDLESS, Server, assert_problem, body, events_of, running_server

LONG = {"max_tokens": 700, **ENDLESS}


@pytest.fixture
def own_server():
    with running_server() as running:
        yield running


@pytest.mark.parametrize(
    ("device", "asked", "why"),
    [
        pytest.param("cpu", 0, "as always on a CPU", id="CPU"),
        pytest.param("cuda:0", 0, "as many as its memory holds, up to 64", id="GPU"),
        pytest.param("cuda:0", 6, "as PHEYE_SLOTS says", id="set"),
    ],
)
def test_the_start_tells_how_many_slots_there_are_why_and_their_memory(
    caplog: pytest.LogCaptureFixture, device: str, asked: int, why: str
) -> None:
    config = named_geometry("pheye-tiny")
    card = ModelCard("eye", device, "bfloat16", "", 1, config, 1024, 6, "weights", 2**20)
    with caplog.at_level("INFO", logger="pheye"):
        announce(card, Settings(slots=asked))
    megabytes = 6 * slot_bytes(config, 1024, "bfloat16") / 1e6
    assert f"; 6 slots of 1024 tokens a worker ({why}, {megabytes:.0f} MB), " in caplog.text


def test_a_deadline_in_the_middle_of_a_stream_is_its_last_event():
    with running_server(deadline_s=1.5, slots=1, max_questions=64) as running, running.client() as client:
        asked = body(questions=[f"question {number}" for number in range(64)], settings=LONG)
        assert_problem(client.post("/v1/vqa", json=asked), 504, "no complete answer within 1.5 s")
        with client.stream("POST", "/v1/vqa", json=asked | {"stream": True}) as response:
            *_, end = events_of(response)
        assert response.status_code == 200
        assert StreamFailure.model_validate(end, extra="forbid").error.status == 504
        assert running.metric('pheye_requests_total{endpoint="/v1/vqa",status="504"}') == 2.0


def test_a_model_that_cannot_be_loaded_ends_the_service_with_the_reason():
    with running_server(ready=False, warm=False, model="random:no-such-geometry") as running:
        assert running.process.wait(60) == 1
        assert "there is no geometry 'no-such-geometry'" in running.log


def test_too_few_open_files_end_the_command_as_any_setting_does_that_cannot_be():
    few = partial(resource.setrlimit, resource.RLIMIT_NOFILE, (128, 128))
    command = [sys.executable, "-m", "service.cli.entry", "serve", "--port", "0", "--model", "random:pheye-micro"]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=few, timeout=60, check=False)
    assert done.returncode == 2
    assert re.search(r"^pheye: PHEYE_MAX_CONNECTIONS: 128 open files are allowed .*; allow \d+$", done.stderr, re.M)


def test_until_the_model_is_loaded_the_service_lives_but_is_not_ready():
    with running_server(ready=False, warm=False) as running:  # warm, it would be ready too soon
        ready = httpx.get(f"{running.url}/readyz")
        assert_problem(ready, 503, "the model is loading")
        assert int(ready.headers["retry-after"]) > 0
        assert_problem(httpx.post(f"{running.url}/v1/caption", json=body()), 503, "the model is loading")
        assert httpx.get(f"{running.url}/v1").json()["model"] is None


def test_a_worker_that_dies_costs_its_clients_a_pause_and_not_their_answer(own_server: Server):
    asked = body(settings=LONG | {"max_tokens": 250})
    with own_server.client() as client:
        undisturbed = client.post("/v1/caption", json=asked).json()["caption"]
        with client.stream("POST", "/v1/caption", json=asked | {"stream": True}) as response:
            events = events_of(response)
            first = next(events)
            os.kill(int(re.findall(r"worker \d+ on \S+ \(process (\d+)\)", own_server.log)[-1]), signal.SIGKILL)
            *chunks, end = [first, *events]
    assert end["completed"] is True
    assert "".join(chunk["chunk"] for chunk in chunks) == undisturbed
    assert own_server.metric("pheye_request_replays_total") == 1.0
    assert own_server.metric("pheye_worker_restarts_total") == 1.0
