"""By a service: the answers are those of an engine here, through refusals, restarts, kills and wrong addresses."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from model.request import Sampling
from service.batch.answerers import offline, remote
from service.batch.answerers.forms import requests_of
from service.batch.answerers.retry import LONGEST_PAUSE_S, RetryBudget, retry_after_s
from service.batch.answerers.server import ServiceConnection, ServiceConnectionError, check_url, contact
from service.batch.find_images import find_images
from service.batch.run import Job
from service.batch.task import AnswerOptions, CannotAsk, Question
from service.cli.main import app
from service.images import DIGEST_HEADER, digest_of
from tests.service.batch.answerers.test_offline import (
    CAPTION,
    GOLDEN,
    PHEYE,
    golden_settings,
    many_images,
    question,
    records,
    said,
    wait_for_lines,
)
from tests.support import serving
from tests.support.hostile_web import answer as answer_of
from tests.support.hostile_web import hostile_web
from tests.support.serving import running_server, wait_until
from tests.support.signals import interrupted_at_a_pipe, take_interrupts

KEY = "a-key-nobody-may-see"
ASKED = (
    CAPTION,
    *(question(text) for text in ("How many dogs are there?", "Why?", "Où ?", "A\nB")),
    Question({"question": "Which?", "answer_style": "sentence", "choices": ["a", "b"]}, "Which?", "answer", ("a", "b")),
)
TALKATIVE = Sampling(max_tokens=60, temperature=1.0, seed=1)


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("PHEYE_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def golden_service() -> Iterator[serving.Server]:
    with running_server(
        model=GOLDEN, slots=2, context_tokens=512, max_questions=3, api_keys=KEY, max_body_bytes=1 << 20
    ) as running:
        yield running


@pytest.fixture
def golden(golden_service: serving.Server) -> ServiceConnection:
    return ServiceConnection(golden_service.url, KEY)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(GOLDEN / "images", tmp_path / "images")
    return tmp_path / "images"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    (tmp_path / "key").write_text(KEY + "\n")
    return tmp_path / "key"


def pheye(*words: str, **kwargs: Any) -> Any:
    return CliRunner().invoke(app, words, **kwargs)


def in_any_order(path: Path) -> list[str]:
    return sorted(json.dumps(record) for record in said(path))


@pytest.mark.parametrize(
    "sampling",
    [Sampling(max_tokens=16), Sampling(max_tokens=16, temperature=1.0, top_p=0.9, seed=7, stop=("e",))],
    ids=["greedy", "sampled"],
)
def test_a_service_answers_as_an_engine_here(
    sampling: Sampling, golden: ServiceConnection, folder: Path, tmp_path: Path
) -> None:
    (folder / "broken.png").write_bytes((folder / "img3_640x480.png").read_bytes()[:200])
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    here, there = tmp_path / "here.jsonl", tmp_path / "there.jsonl"
    assert offline.answer(golden_settings(), Job(find_images([folder]), ASKED, sampling, here)) == 1
    assert remote.answer(golden, Job(find_images([folder]), ASKED, sampling, there)) == 1
    assert in_any_order(there) == in_any_order(here)
    numbers = [{_asked(each): _numbers(each) for each in records(out) if "error" not in each} for out in (here, there)]
    assert numbers[0].keys() == numbers[1].keys()
    for asked, told in numbers[0].items():
        assert numbers[1][asked] == pytest.approx(told, abs=1e-4)


def _asked(record: dict[str, Any]) -> tuple[str, str | None]:
    return record["image"], record.get("question")


def _numbers(record: dict[str, Any]) -> list[float]:
    return [record["confidence"], *record.get("probabilities", ())]


@pytest.mark.parametrize("words", [["caption"], ["ask", "--answer-style", "choice", "--choice", "a", "--choice", "b"]])
def test_what_is_printed_is_the_same(words: list[str], golden: ServiceConnection, folder: Path, key_file: Path) -> None:
    asked = [words[0], str(folder), *(["Which?", "Why?"] if words[0] == "ask" else []), *words[1:], "--max-tokens", "6"]
    here = pheye(*asked, "--model", str(GOLDEN), "--context-tokens", "512", "--threads", "1", "--device", "cpu")
    there = pheye(*asked, "--server", golden.url + "/", "--api-key-file", str(key_file))
    assert there.stdout == here.stdout
    assert here.exit_code == there.exit_code == 0
    assert len(there.stdout.splitlines()) == len(find_images([folder])) * (2 if words[0] == "ask" else 1)


def test_answered_images_are_skipped_and_failed_ones_tried_again(
    golden: ServiceConnection, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out, broken = tmp_path / "out.jsonl", folder / "img3_640x480.png"
    good = broken.read_bytes()
    broken.write_bytes(good + bytes(1 << 20))  # of a readable image, but more than the service takes
    job = Job(find_images([folder]), ASKED[:2], Sampling(max_tokens=2), out)
    assert remote.answer(golden, job) == 1
    first = out.read_bytes()
    assert f"image: its file has {len(good) + (1 << 20)} bytes; the service takes 1048576" in first.decode()
    broken.write_bytes(good)
    with out.open("ab") as file:
        file.write(b'{"image": "/cut/sho')
    assert remote.answer(golden, job) == 0
    assert out.read_bytes().startswith(first)
    added = records(out)[len(first.splitlines()) :]
    assert {Path(record["image"]).name for record in added} == {"img3_640x480.png"}
    assert f"{len(job.images) - 1} of {len(job.images)} images are answered already" in capfd.readouterr().err
    assert remote.answer(golden, job) == 0
    assert len(records(out)) == 2 * len(job.images) + 1


@pytest.mark.parametrize(
    ("asked", "sampling", "complaint"),
    [
        (question("long " * 600), Sampling(max_tokens=2), "question: its prompt of"),
        (CAPTION, Sampling(max_tokens=511), "max_tokens: 511 and a prompt of 86 tokens exceed"),
    ],
    ids=["question", "answer"],
)
def test_what_can_fit_no_image_ends_the_run_at_once(
    asked: Question, sampling: Sampling, complaint: str, golden: ServiceConnection, folder: Path, tmp_path: Path
) -> None:
    job = Job(find_images([folder]), (asked,), sampling, tmp_path / "out.jsonl")
    with pytest.raises(CannotAsk, match=complaint):
        remote.answer(golden, job)
    assert not (tmp_path / "out.jsonl").exists()


def test_a_full_waiting_room_refuses_many_and_in_the_end_answers_all(tmp_path: Path) -> None:
    images, out = many_images(tmp_path / "images", 6), tmp_path / "out.jsonl"
    with running_server(slots=1, max_waiting=2) as service:
        asked = (question("Why?"), question("How?"))  # each request fills the waiting queue
        server = ServiceConnection(service.url, in_flight=6)
        assert remote.answer(server, Job(find_images([images]), asked, Sampling(max_tokens=2), out)) == 0
        assert service.metric('pheye_requests_dropped_total{reason="full"}') > 0
    assert len({(record["image"], record["question"]) for record in records(out) if "answer" in record}) == 12


def test_an_image_in_standard_input_is_sent_as_it_is(golden: ServiceConnection, key_file: Path, tmp_path: Path) -> None:
    file = (GOLDEN / "images" / "img3_640x480.png").read_bytes()
    there = ["--server", golden.url, "--api-key-file", str(key_file)]
    told = pheye("ask", "-", "Why?", "--json", *there, input=file)
    assert (told.exit_code, json.loads(told.stdout)["file"]["width"]) == (0, 640)
    assert "max_tokens" not in json.loads(told.stdout)["settings"], "the service knows its default"
    refused = pheye("ask", "-", "--questions", "-", *there, input=file)
    assert (refused.exit_code, "standard input is the image or the questions" in refused.stderr) == (2, True)
    (tmp_path / "-rf.png").write_bytes(file)
    with contextlib.chdir(tmp_path):
        assert pheye("caption", "-rf.png", *there).exit_code == 0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_a_service_that_is_killed_and_started_again_costs_a_pause(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    images, out, port = many_images(tmp_path / "images", 12), tmp_path / "out.jsonl", free_port()
    at_the_kill: list[int] = []
    with ExitStack() as stack:
        first = stack.enter_context(running_server(port=port, slots=2))

        def restart() -> None:
            wait_until(lambda: out.exists() and out.read_bytes().count(b"\n") >= 3, 30)
            first.process.kill()
            first.process.wait()
            at_the_kill.append(len(records(out)))
            stack.enter_context(running_server(port=port, slots=2, ready=False))

        restarting = threading.Thread(target=restart)
        restarting.start()
        job = Job(find_images([images]), (CAPTION,), TALKATIVE, out)
        assert remote.answer(ServiceConnection(first.url, in_flight=4, retry_for_s=60), job) == 0
        restarting.join()
    assert at_the_kill[0] < 12, "it must be killed in the middle"
    assert len({record["image"] for record in records(out) if "caption" in record}) == 12
    assert capfd.readouterr().err.count("trying again for up to 60 s") in (1, 2)  # away, and perhaps loading


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_a_client_that_is_stopped_leaves_the_service_and_continues(
    by: signal.Signals, tmp_path: Path, golden_service: serving.Server, key_file: Path
) -> None:
    images, out = many_images(tmp_path / "images", 12), tmp_path / "out.jsonl"
    settings = ["--max-tokens", "200", "--temperature", "1", "--in-flight", "2"]
    there = ["--server", golden_service.url, "--api-key-file", str(key_file)]
    command = [PHEYE, "caption", str(images), "--jsonl", str(out), *there, *settings]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=take_interrupts)
    wait_for_lines(process, out, 2)
    process.send_signal(by)
    _, said = process.communicate(timeout=10)
    stopped = records(out)
    assert 2 <= len(stopped) < 12, "it must be stopped in the middle"
    wait_until(lambda: golden_service.metric("pheye_requests_running", authorization=f"Bearer {KEY}") == 0, 5)
    if by is signal.SIGINT:
        assert process.returncode == 130
        assert said == "pheye: interrupted; the same command goes on from here\n"
    assert subprocess.run(command, timeout=60).returncode == 0
    assert records(out)[: len(stopped)] == stopped
    assert len({record["image"] for record in records(out)}) == len(records(out)) == 12


def test_one_interrupt_ends_a_client_that_reads_from_a_pipe_into_which_nobody_writes(
    tmp_path: Path, golden_service: serving.Server, key_file: Path
) -> None:
    pipe = tmp_path / "pipe.png"
    there = ["--server", golden_service.url, "--api-key-file", str(key_file)]
    ended = interrupted_at_a_pipe([PHEYE, "caption", str(pipe), *there], pipe)
    assert (ended.returncode, ended.stderr) == (130, "pheye: interrupted\n")


@dataclass
class Stub:
    """A service that answers as told: `reply(number of the post, its body) -> status, headers, body`."""

    reply: Callable[[int, bytes], tuple[int, dict[str, str], Any]]
    model: str | None = "stub"
    gone: int = 0  # times that a proxy does not find it
    url: str = ""
    posts: list[tuple[float, str, bytes]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    digests: set[str | None] = field(default_factory=set)
    under_way: int = 0
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def card(self) -> dict[str, Any]:
        about = {"knows": None, "outside_answer": None, "questions": []}
        model = None if self.model is None else {"name": self.model, **about}
        limits = {"questions": 2, "body_bytes": 1 << 20, "deadline_s": 60, "pixels": 1_000_000, "formats": ["PNG"]}
        limits["image_urls"] = False
        return {"name": "pheye", "version": "0", "model": model, "limits": limits, "links": {}}

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, str], Any]:
        with self.lock:
            self.posts.append((time.monotonic(), path, body))
            self.keys.add(headers["Authorization"])
            self.digests.add(headers[DIGEST_HEADER])
            number = len(self.posts)
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        try:
            return self.reply(number, body)
        finally:
            with self.lock:
                self.under_way -= 1


CAPTIONED = {
    "id": "1", "model": "stub", "caption": "a stub", "finish_reason": "stop",
    "usage": dict.fromkeys(("prompt_tokens", "completion_tokens", "image_tokens", "image_tiles"), 1)
    | {"image_tiles_cached": 0, "image_features_cached": False},
    "timings": dict.fromkeys(("queue", "preprocess", "encode", "prefill", "decode", "total"), 0.0),
}  # fmt: skip
GOOD = (200, {}, CAPTIONED)


@contextmanager
def running_stub(reply: Any = lambda *_: GOOD, **kwargs: Any) -> Iterator[Stub]:
    stub = Stub(reply, **kwargs)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            stub.gone -= 1
            known = self.path.removeprefix("/prefix") == "/v1"
            self.send(*((502, {}, "") if stub.gone >= 0 else (200, {}, stub.card()) if known else (404, {}, "")))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send(*stub.post(self.path, self.headers, body))

        def send(self, status: int, headers: dict[str, str], body: Any) -> None:
            data = json.dumps(body).encode() if isinstance(body, dict) else str(body).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Log nothing of the requests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        stub.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield stub
        server.shutdown()
        thread.join()


def caption_all(stub: Stub, tmp_path: Path, count: int = 1, **kwargs: Any) -> tuple[int, list[dict[str, Any]]]:
    images, out = many_images(tmp_path / "images", count), tmp_path / "out.jsonl"
    server = ServiceConnection(stub.url, **kwargs)
    code = remote.answer(server, Job(find_images([images]), (CAPTION,), Sampling(), out, may_shorten=True))
    return code, records(out)


def test_as_many_requests_are_in_flight_as_asked_and_no_more(tmp_path: Path) -> None:
    def slow(*_: Any) -> Any:
        time.sleep(0.02)
        return GOOD

    with running_stub(slow) as stub:
        code, found = caption_all(stub, tmp_path, 30, in_flight=5)
    assert (code, len(found), stub.most) == (0, 30, 5)


def problem(status: int, detail: str, **headers: str) -> tuple[int, dict[str, str], Any]:
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, {"detail": detail}


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed(status: int, tmp_path: Path) -> None:
    with running_stub(lambda number, _: GOOD if number > 2 else problem(status, "full", Retry_After="1")) as stub:
        code, found = caption_all(stub, tmp_path)
    assert (code, found[0]["caption"]) == (0, "a stub")
    times = [at_s for at_s, *_ in stub.posts]
    assert [1.0 <= later - earlier < 1.6 for earlier, later in pairwise(times)] == [True, True]


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (problem(422, "image: broken or cut short"), "image: broken or cut short"),
        (problem(415, "image: not of a format"), "image: not of a format"),
        (problem(413, "body: more than allowed"), "body: more than allowed"),
        (problem(500, "workers died"), "workers died"),
        ((504, {}, "<html>"), "HTTP 504 Gateway Timeout"),
        ((200, {}, "<html>"), "the service's answer is not of the form it should have"),
    ],
    ids=["broken", "unsupported", "too large", "poison", "a proxy's", "not an answer"],
)
def test_what_would_fail_again_is_the_images_error_at_once(reply: Any, error: str, tmp_path: Path) -> None:
    with running_stub(lambda number, _: reply if number == 2 else GOOD) as stub:
        code, found = caption_all(stub, tmp_path, 3, in_flight=1)
    assert (code, len(stub.posts)) == (1, 3)
    assert [record.get("error") for record in found] == [None, error, None]


@pytest.mark.parametrize(
    "reply",
    [problem(401, "send a valid key"), problem(422, "model: the model served here is 'b'"), problem(404, "no route")],
    ids=["key", "model", "route"],
)
def test_what_would_fail_for_every_image_ends_the_run(reply: Any, tmp_path: Path) -> None:
    with running_stub(lambda number, _: reply if number > 2 else GOOD) as stub, pytest.raises(CannotAsk) as raised:
        caption_all(stub, tmp_path, 9, in_flight=1)
    assert str(raised.value) == reply[2]["detail"]
    assert len(stub.posts) == 3
    assert len(records(tmp_path / "out.jsonl")) == 2


def test_a_service_that_stays_away_ends_the_run(tmp_path: Path) -> None:
    with (
        running_stub(lambda *_: problem(503, "loading")) as stub,
        pytest.raises(ServiceConnectionError, match="loading; given up"),
    ):
        caption_all(stub, tmp_path, 3, retry_for_s=0.5)
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("in_flight", [1, 12])
def test_a_key_beyond_its_rate_ends_the_run_and_keeps_what_was_answered(in_flight: int, tmp_path: Path) -> None:
    def reply(number: int, _: bytes) -> Any:
        time.sleep(0.3 if number <= 3 else 0)  # the refusals come before the answers
        return GOOD if number <= 3 else problem(429, "your limit is 3 per 1 hour", Retry_After="3600")

    with (
        running_stub(reply) as stub,
        pytest.raises(ServiceConnectionError, match=r"3 per 1 hour; it asks to be left alone for 3600 s"),
    ):
        caption_all(stub, tmp_path, 12, in_flight=in_flight)
    assert [each["caption"] for each in records(tmp_path / "out.jsonl")] == ["a stub"] * 3
    assert len(stub.posts) == max(4, in_flight)


def test_what_is_refused_for_a_moment_is_not_asked_again_when_the_run_ends(tmp_path: Path) -> None:
    def reply(number: int, _: bytes) -> Any:
        time.sleep(0.3 if number == 1 else 0)
        return problem(401, "send a valid key") if number == 1 else problem(429, "full", Retry_After="60")

    began_s = time.monotonic()
    with running_stub(reply) as stub, pytest.raises(CannotAsk, match="send a valid key"):
        caption_all(stub, tmp_path, 2, in_flight=2)
    assert time.monotonic() - began_s < 30
    assert not (tmp_path / "out.jsonl").exists()


def test_an_image_that_alone_is_refused_does_not_end_the_run(tmp_path: Path) -> None:
    refused = many_images(tmp_path / "same", 1) / "000.png"

    def reply(_: int, body: bytes) -> Any:
        time.sleep(0.02)
        return problem(429, "full") if refused.read_bytes() in body else GOOD

    with running_stub(reply) as stub:
        code, found = caption_all(stub, tmp_path, 60, in_flight=2, retry_for_s=1)
    assert code == 1
    assert [record["error"] for record in found if "error" in record] == ["full; given up after 1 s"]
    assert len(found) == 60


def test_a_path_in_front_is_kept_and_key_and_digest_go_with_every_request(tmp_path: Path) -> None:
    with running_stub() as stub:
        stub.url += "/prefix"
        assert caption_all(stub, tmp_path, 2, key=KEY)[0] == 0
    assert [path for _, path, _ in stub.posts] == ["/prefix/v1/caption"] * 2
    assert stub.keys == {f"Bearer {KEY}"}
    assert stub.digests == {digest_of(file.read_bytes()) for file in (tmp_path / "images").iterdir()}


def test_a_service_that_loads_is_waited_for_as_long_as_asked() -> None:
    said: list[str] = []
    with running_stub(model=None) as stub, pytest.raises(ServiceConnectionError, match=r"given up after 1\.5 s"):
        contact(ServiceConnection(stub.url, retry_for_s=1.5), said.append)
    assert said == [f"{stub.url}: the model is loading"]
    with running_stub(model=None) as stub:
        threading.Timer(0.5, setattr, (stub, "model", "there")).start()
        assert str(contact(ServiceConnection(stub.url), said.append).model) == "there"


def test_a_service_that_restarts_behind_a_proxy_is_waited_for() -> None:
    said: list[str] = []
    with running_stub(gone=2) as stub:
        assert str(contact(ServiceConnection(stub.url), said.append).model) == "stub"
    assert said == [f"{stub.url}: HTTP 502 Bad Gateway"]
    with running_stub(gone=99) as stub, pytest.raises(ServiceConnectionError, match=r"502 Bad Gateway; given up after"):
        contact(ServiceConnection(stub.url, retry_for_s=0.1), said.append)


def test_questions_are_asked_together_up_to_the_limit() -> None:
    choice = Question({"question": "Q", "answer_style": "choice", "choices": ["a", "b"]}, "", "answer")
    several = [question(str(index)) for index in range(5)]
    asked = [CAPTION, CAPTION, *several, choice]
    assert [len(together) for together in requests_of(asked, 2)] == [1, 1, 2, 2, 1, 1]
    assert [each for together in requests_of(asked, 2) for each in together] == asked


@pytest.mark.parametrize(("max_tokens", "most"), [(1, 16), (256, 16), (300, 13), (5000, 1)])
def test_explained_questions_are_asked_together_as_far_as_one_request_may_have_them(max_tokens: int, most: int) -> None:
    with running_stub(model="there") as stub:
        connection = ServiceConnection(stub.url)
        card = contact(connection, lambda _: None)
        card = card.model_copy(update={"limits": card.limits.model_copy(update={"questions": 16})})
        options = AnswerOptions(Sampling(max_tokens=max_tokens), explain=True)
        assert remote.RemoteRun(connection, card, options, lambda _: None)._most_questions == most


@pytest.mark.parametrize(
    ("url", "checked"),
    [
        ("http://h:8000/", "http://h:8000"),
        ("https://h/a/b//", "https://h/a/b"),
        ("http://[::1]:80", "http://[::1]"),
        ("HTTP://h", "http://h"),
    ],
    ids=["slash", "path", "IPv6", "capitals"],
)
def test_addresses_are_taken_as_people_write_them(url: str, checked: str) -> None:
    assert check_url(url) == checked


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--server", "http://127.0.0.1:9"], ["http://127.0.0.1:9: no answer (", "is the service running there?"]),
        (["--server", "localhost:8000"], ["--server: write the whole address, http://HOST:PORT"]),
        (["--server", "http://"], ["--server: write the whole address"]),
        (["--server", "http://h:port"], ["--server: this is no address"]),
        (["--server", "http://xn--a"], ["--server: this is no address"]),
        (["--server", "http://me:secret@h"], ["--server: no user", "--api-key-file"]),
        (["--server", "http://h?key=secret"], ["--server: no user, query or fragment"]),
        (["--server", "http://h", "--model", "m", "--device", "cpu"], ["--model, --device: not with --server"]),
        (["--server", "http://h", "--in-flight", "0"], ["--in-flight"]),
        (["--server", "http://h", "--max-tokens", "0"], ["max_tokens: ", "must be at least 1"]),
        (["--server", "http://h", "--api-key-file", "/nowhere/key"], ["/nowhere/key"]),
        (["--server", "http://h", "--api-key-file", __file__], [f"{__file__}: expected an API key"]),
        (["--in-flight", "4", "--retry-for", "1"], ["--in-flight, --retry-for: only with --server"]),
    ],
    ids=lambda value: " ".join(value)[:40].replace("/", "_") if isinstance(value, list) else "",
)
def test_mistakes_are_named_with_what_would_be_accepted(words: list[str], said: list[str]) -> None:
    result = pheye("caption", str(GOLDEN / "images" / "img3_640x480.png"), *words)
    assert result.exit_code == 2, result.stderr
    assert result.stdout == ""
    for part in said:
        assert part in result.stderr
    assert "Traceback" not in result.stderr
    assert "secret" not in result.stderr


def test_what_is_no_pheye_service_is_told_from_one(golden: ServiceConnection, folder: Path, key_file: Path) -> None:
    with running_stub() as stub:
        wrong = pheye("caption", str(folder), "--server", stub.url + "/else", "--api-key-file", str(key_file))
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert "this is no Pheye service of this version (GET /else/v1 answered 404)" in wrong.stderr
    with_v1 = pheye("caption", str(folder), "--server", golden.url + "/v1", "--api-key-file", str(key_file))
    assert "leave /v1 out of the address" in with_v1.stderr


@pytest.mark.parametrize("key", ["another-key", None], ids=["wrong", "missing"])
def test_a_wrong_key_is_said_to_be_wrong_and_never_shown(
    key: str | None, golden: ServiceConnection, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "wrong").write_text(str(key))
    given = ["--api-key-file", str(tmp_path / "wrong")] if key else []
    out = tmp_path / "out.jsonl"
    result = pheye("caption", str(folder), "--jsonl", str(out), "--server", golden.url, *given)
    assert (result.exit_code, result.stdout, out.exists()) == (2, "", False)
    assert "the API key is missing or wrong" in result.stderr
    assert str(key) not in result.stderr
    assert KEY not in repr(golden)


def test_settings_of_a_service_in_the_environment_do_not_matter(
    golden: ServiceConnection, folder: Path, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHEYE_MODEL", "/nowhere")
    monkeypatch.setenv("PHEYE_DEFAULT_MAX_TOKENS", "2000")
    image = str(folder / "img3_640x480.png")
    assert pheye("caption", image, "--server", golden.url, "--api-key-file", str(key_file)).exit_code == 0


FILE = "\ufeff# what to ask\r\nHow many dogs are there?\r\n\r\n  Why?\u2028Because?  \n#Never\n\tOù ?"
IN_FILE = ["How many dogs are there?", "Why?\u2028Because?", "Où ?"]


@pytest.mark.parametrize("by", ["here", "there"])
@pytest.mark.parametrize("file", ["q.txt", "-"])
def test_questions_of_a_file_follow_those_typed(
    by: str, file: str, golden: ServiceConnection, folder: Path, key_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "q.txt").write_text(FILE, encoding="utf-8", newline="")
    out, name = tmp_path / "out.jsonl", file if file == "-" else str(tmp_path / file)
    here = ["--model", str(GOLDEN), "--context-tokens", "512", "--device", "cpu", "--threads", "1"]
    there = ["--server", golden.url, "--api-key-file", str(key_file)]
    asked = ["ask", str(folder / "img3_640x480.png"), "Typed?", "--questions", name, "--jsonl", str(out)]
    result = pheye(*asked, "--max-tokens", "2", *(here if by == "here" else there), input=FILE.encode())
    assert result.exit_code == 0, result.stderr
    assert [record["question"] for record in records(out)] == ["Typed?", *IN_FILE]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"Why?\n\xff\n", "q.txt: line 2 is not UTF-8 text"),
        (b"Why?\n\n" + b"a" * 16385, "q.txt: line 3 has 16385 characters; at most 16384 are read"),
        (b"# Why?\n \n", "q.txt: there is no question in it"),
        (b"#" + b"a" * 20000, "q.txt: there is no question in it"),
        (None, "q.txt: cannot be read: No such file or directory"),
    ],
    ids=["not text", "too long", "only comments", "a long comment", "not there"],
)
def test_a_question_file_that_cannot_be_used_is_named_with_its_line(
    content: bytes | None, said: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "q.txt").write_bytes(content)
    result = pheye("ask", str(GOLDEN / "images" / "img3_640x480.png"), "--questions", str(tmp_path / "q.txt"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_pauses_grow_up_to_a_limit_and_end_with_the_patience() -> None:
    retry_budget, now_s, pauses = RetryBudget(100.0), 5.0, []
    while (pause_s := retry_budget.pause_s(now_s)) is not None:
        pauses.append(pause_s)
        now_s += pause_s
    assert 0.125 <= pauses[0] <= 0.25
    assert 0.5 <= pauses[2] <= 1.0
    assert max(pauses) <= LONGEST_PAUSE_S
    assert 100 - LONGEST_PAUSE_S <= sum(pauses) <= 100


@pytest.mark.parametrize(
    ("headers", "least_s", "most_s"),
    [({"retry-after": "7"}, 7, 7), ({"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"}, 1e8, 1e10), ({}, 0, 0)]
    + [({"retry-after": wrong}, 0, 0) for wrong in ("-1", "x", "Sat, 01 Jan 2000 00:00:00 GMT", "1 Jan 2100 00:00:00")]
    + [({"retry-after": f"Fri, 01 Jan {'9' * 20} 00:00:00 GMT"}, 0, 0)],
    ids=["seconds", "date", "absent", "negative", "no time", "past", "no zone", "no year of any calendar"],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], least_s: float, most_s: float) -> None:
    assert least_s <= retry_after_s(headers) <= most_s


def test_what_is_asked_for_beyond_the_patience_is_not_waited_for() -> None:
    assert RetryBudget(60.0).pause_s(0.0, asked_s=61.0) is None
    assert 7.0 <= (RetryBudget(60.0).pause_s(0.0, asked_s=7.0) or 0) <= 8.75


def test_an_image_on_the_web_is_fetched_here_and_sent(golden: ServiceConnection, key_file: Path) -> None:
    file = GOLDEN / "images" / "img3_640x480.png"
    with hostile_web({"/a.png": answer_of(file.read_bytes()), "/b.png": answer_of(b"<html>")}) as web:
        asked = [web.url("/a.png"), str(file), web.url("/b.png"), "--max-tokens", "6"]
        done = pheye("caption", *asked, "--server", golden.url, "--api-key-file", str(key_file))
    by_url, by_file = (line.partition(".png: ") for line in done.stdout.splitlines())
    assert by_url[0] == web.url("/a")
    assert by_url[2] == by_file[2] != ""
    assert "b.png: image: 127.0.0.1: what it sent is no image of a format that is read here" in done.stderr
    assert done.exit_code == 1
