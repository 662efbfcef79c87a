"""nginx and HAProxy as the committed configurations run them, and clients that notice every lost request.

The configurations of `deploy/proxy/` are used as they are, with addresses and paths replaced.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.pages import ROOT
from tests.support.serving import TALKATIVE, body, data_uri, image_file, running_server, wait_until
from tests.support.sockets import free_port

PROXY = ROOT / "deploy/proxy"
PACKAGES = {"nginx": "nginx-light", "haproxy": "haproxy"}
DELAY_S = 4.0  # of a server that stops; HAProxy's check takes 2 s to notice
NONE: Mapping[str, str] = {}
PAUSE_S = 0.04  # of a client between two requests: the configurations bound the rate of one address


def program(name: str) -> str:
    """The path of an installed proxy; without it a test is skipped, but on CI it fails."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if path is None:
        message = f"{name} is not installed; on Debian it is in the package {PACKAGES[name]}"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return path


def adapted(file: str, *every: Mapping[str, str]) -> str:
    text = (PROXY / file).read_text(encoding="utf-8")
    for replacements in every:
        for old, new in replacements.items():
            assert old in text, old
            text = text.replace(old, new)
    return text


def nginx(folder: Path, port: int, servers: tuple[int, int], edits: Mapping[str, str] = NONE) -> list[str]:
    """The command that runs nginx in the foreground, with everything it writes in a folder."""
    spools = "".join(
        f"    {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = adapted(
        "nginx.conf",
        {
            "user www-data;": "daemon off;",
            "/run/nginx.pid": f"{folder}/pid",
            "/var/log/nginx/": f"{folder}/",
            "http {\n": f"http {{\n{spools}",
            "listen 80;": f"listen 127.0.0.1:{port};",
            "10.0.0.11:8000": f"127.0.0.1:{servers[0]}",
            "10.0.0.12:8000": f"127.0.0.1:{servers[1]}",
        },
        edits,
    )
    if os.getuid() == 0:
        text = f"user root;\n{text}"
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    return [program("nginx"), "-p", str(folder), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]


def haproxy(folder: Path, port: int, servers: tuple[int, int], edits: Mapping[str, str] = NONE) -> list[str]:
    text = adapted(
        "haproxy.cfg",
        {
            "bind :80": f"bind 127.0.0.1:{port}",
            "10.0.0.11:8000": f"127.0.0.1:{servers[0]}",
            "10.0.0.12:8000": f"127.0.0.1:{servers[1]}",
        },
        edits,
    )
    (folder / "haproxy.cfg").write_text(text, encoding="utf-8")
    return [program("haproxy"), "-db", "-f", f"{folder}/haproxy.cfg"]


PROXIES = {"nginx": nginx, "haproxy": haproxy}


@contextmanager
def running_proxy(
    name: str, folder: Path, servers: tuple[int, int], edits: Mapping[str, str] = NONE, prefix: str = ""
) -> Iterator[str]:
    """A proxy in front of the servers; its configuration is the committed one with these replacements."""
    folder.mkdir()
    port = free_port()
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(PROXIES[name](folder, port, servers, edits), stdout=output, stderr=output)
        try:
            url = f"http://127.0.0.1:{port}{prefix}"
            wait_until(lambda: answers(f"{url}/readyz"), 20)
            yield url
        finally:
            process.terminate()
            process.wait(20)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.TransportError:
        return False


class Load:
    """Clients in a closed loop, each of which keeps asking until the load ends; what came of it is counted."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.outcomes: Counter[str] = Counter()
        self._ended = threading.Event()
        large = image_file("BMP", (160, 120))
        assert len(large) > 16_384  # more than HAProxy keeps to send again
        asked = [
            body(),
            body(),
            body(image_url=data_uri(large, "image/bmp")),
            body(stream=True, settings={"max_tokens": 40} | TALKATIVE),
        ]
        self._clients = [threading.Thread(target=self._loop, args=(each,)) for each in asked]

    def __enter__(self) -> Load:
        for each in self._clients:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for each in self._clients:
            each.join()

    def _loop(self, asked: dict[str, object]) -> None:
        with httpx.Client(base_url=self.url, timeout=60) as client:
            while not self._ended.is_set():
                try:
                    outcome = outcome_of(client.post("/v1/caption", json=asked), stream="stream" in asked)
                except httpx.HTTPError as error:
                    outcome = repr(error)
                self.outcomes[outcome] += 1
                time.sleep(PAUSE_S)


def outcome_of(response: httpx.Response, *, stream: bool) -> str:
    if response.status_code != 200:
        return f"{response.status_code} {response.text[:200]}"
    if not stream:
        return "answered" if response.json()["caption"] is not None else response.text
    last = json.loads(response.text.rstrip().rpartition("\n\n")[2].removeprefix("data: "))
    return "streamed" if last.get("completed") and "error" not in last else f"broken: {last}"


def rolling_restarts(folder: Path, rounds: int, enough: int) -> dict[str, Counter[str]]:
    """Restart two servers behind both proxies under load, one after the other, so many times each.

    Returns:
        What the clients saw, by proxy; each proxy had at least `enough` requests.
    """
    for name in PROXIES:
        program(name)
    settings = {"drain_delay_s": DELAY_S, "trusted_proxies": "127.0.0.1"}
    ports = (free_port(), free_port())
    with ExitStack() as stack:
        servers = [stack.enter_context(running_server(port=port, **settings)) for port in ports]
        urls = {name: stack.enter_context(running_proxy(name, folder / name, ports)) for name in PROXIES}
        with ExitStack() as loads_stack:
            loads = {name: loads_stack.enter_context(Load(url)) for name, url in urls.items()}
            for place, port in list(enumerate(ports)) * rounds:
                time.sleep(2.5)  # both are in use: HAProxy's check has risen
                servers[place].process.send_signal(signal.SIGTERM)
                assert servers[place].process.wait(60) == 0
                servers[place] = stack.enter_context(running_server(port=port, **settings))
            wait_until(lambda: all(load.outcomes.total() >= enough for load in loads.values()), 120)
            time.sleep(2.5)
        return {name: load.outcomes for name, load in loads.items()}
