"""A real service in a process of its own, on a port the system chose, and small images to send to it."""

from __future__ import annotations

import base64
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from PIL import Image

from tests.support.warm_processes import ADDRESS, WORKERS, ServerProcess, fork_workers

SERVE = (
    "import sys; from service.api.server import serve; from service.configuration.settings import load_settings; "
    "sys.exit(serve(load_settings()))"
)
START_S = 90.0
RANDOM = "random:pheye-micro"  # what tests serve unless they say otherwise: the model by default may be another one
TALKATIVE = {"temperature": 1.0, "seed": 1}  # greedy, the random model says next to nothing
ENDLESS = {"temperature": 1.0, "seed": 4}  # a seed with which it goes on to the end of its context


@dataclass
class Server:
    """A running service."""

    process: subprocess.Popen[bytes] | ServerProcess
    url: str
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8")

    def client(self, **kwargs: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60.0, **kwargs)

    def metric(self, series: str, **headers: str) -> float:
        """The value of a series, written as in the text format; a bare name is the sum of all its series.

        0.0 if there is none yet.
        """
        text = httpx.get(f"{self.url}/metrics", headers=headers).text
        labels = "" if "{" in series else r"(?:\{.*\})?"
        return sum(map(float, re.findall(rf"^{re.escape(series)}{labels} (\S+)$", text, re.MULTILINE)))


@contextmanager
def running_server(
    *, ready: bool = True, serve: str = SERVE, warm: bool = True, open_files: int | None = None, **settings: Any
) -> Iterator[Server]:
    """A service with these settings over the defaults; with `ready` it has loaded its model.

    `serve` is the program that it runs; it may have `open_files` open at the same time. With `warm` its processes are
    forked from ones that have imported everything: see `warm_processes`.

    One compute thread is enough for the tiny model, and several would wait for each other on a busy machine. Compiled
    code takes half a second to load, which is more than most tests take.
    Every warning in the service's process is an error, as it is in the tests'.
    """
    chosen = {"model": RANDOM, "port": 0, "threads": 1, "compiled_code": "off", **settings}
    variables = {f"PHEYE_{name.upper()}": str(value) for name, value in chosen.items()}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PHEYE_")}
    with TemporaryDirectory() as folder:
        log_file = Path(folder) / "log"
        with log_file.open("wb") as log:
            start = _forked if warm else _started
            process = start(serve, inherited | variables, log.fileno(), open_files)
        try:
            server = Server(process, _await_url(process, log_file), log_file)
            if ready:
                wait_until(lambda: httpx.get(f"{server.url}/readyz").status_code == 200, START_S)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(20)
            except (subprocess.TimeoutExpired, TimeoutError):
                process.kill()
                process.wait()


def _started(serve: str, variables: dict[str, str], log: int, open_files: int | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", serve],
        env=variables,
        stderr=log,
        stdout=log,
        preexec_fn=partial(_allow_open_files, open_files),
    )


def _forked(serve: str, variables: dict[str, str], log: int, open_files: int | None) -> ServerProcess:
    variables[ADDRESS] = WORKERS.address
    process = ServerProcess(target=_serve, args=(serve, open_files), environment=variables, outputs=(log, log))
    process.start()
    return process


def _serve(serve: str, open_files: int | None) -> None:
    _allow_open_files(open_files)
    fork_workers()
    exec(serve, {"__name__": "__main__"})


def _allow_open_files(most: int | None) -> None:
    if most is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _await_url(process: subprocess.Popen[bytes] | ServerProcess, log_file: Path) -> str:
    def url() -> str | None:
        text = log_file.read_text(encoding="utf-8")
        assert process.poll() is None, text
        found = re.search(r"listening on (\S+);", text)
        return found[1] if found and _answers(found[1]) else None

    return wait_until(url, START_S)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez").is_success
    except httpx.TransportError:
        return False


def wait_until(condition: Any, seconds: float = 30.0) -> Any:
    """The first true value of `condition`."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        if value := condition():
            return value
        time.sleep(0.02)
    raise TimeoutError(f"not so within {seconds} s")


@lru_cache
def image_file(form: str = "JPEG", size: tuple[int, int] = (96, 64), mode: str = "RGB") -> bytes:
    """A small picture as a file."""
    picture = Image.effect_mandelbrot(size, (-2, -1.5, 1, 1.5), 60).convert(mode)
    file = BytesIO()
    picture.save(file, form)
    return file.getvalue()


def data_uri(file: bytes, media_type: str = "image/jpeg") -> str:
    return f"data:{media_type};base64,{base64.b64encode(file).decode()}"


def body(**fields: Any) -> dict[str, Any]:
    """A JSON body about the small picture, answered shortly unless it says otherwise."""
    return {"image_url": data_uri(image_file()), "settings": {"max_tokens": 8} | TALKATIVE} | fields


def events_of(response: httpx.Response) -> Iterator[dict[str, Any]]:
    """The events of a stream as they come; comments are skipped, anything else is not allowed."""
    for line in response.iter_lines():
        if line and not line.startswith(":"):
            assert line.startswith("data: ")
            yield json.loads(line.removeprefix("data: "))


def assert_problem(response: httpx.Response, status: int, words: str) -> dict[str, object]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem.keys() == {"type", "title", "status", "detail", "instance"}
    assert problem["status"] == status
    assert words in problem["detail"]
    assert problem["instance"] == f"/requests/{response.headers['x-request-id']}"
    return problem
