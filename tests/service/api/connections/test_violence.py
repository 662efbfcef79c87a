"""Hostile connections at a real server: silent, half said, dripped, flooding, deaf. Others are served meanwhile."""

from __future__ import annotations

import os
import re
import signal
import statistics
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.support.attackers import POST, connect, crowd, drip, probe_times, read_to_end, send_quietly
from tests.support.serving import SERVE, Server, body, running_server, wait_until

OPEN_FILES = 1024
QUICK_S = 5.0  # for every probe, whatever else this machine does; under attack they used to time out
STALL = "import service.api.connections.policy as policy; policy.STALL_S = 1.5"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def impatient():
    with running_server(ready=False, serve=f"{STALL}\n{SERVE}", head_timeout_s=1.0, body_timeout_s=2.0) as running:
        yield running


def open_descriptors(server: Server) -> int:
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def resident_bytes(server: Server) -> int:
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("first_bytes", [b"", b"GET /liv"], ids=["silent", "half-a-line"])
def test_more_connections_than_open_files_do_not_keep_others_out(first_bytes: bytes) -> None:
    with running_server(open_files=OPEN_FILES) as server:
        answered = httpx.post(f"{server.url}/v1/caption", json=body()).json()["caption"]
        with crowd(server, OPEN_FILES + 76, first_bytes):
            assert max(probe_times(server, 20)) < QUICK_S
            assert open_descriptors(server) < OPEN_FILES * 0.8
            os.kill(int(re.findall(r"worker \d+ on \S+ \(process (\d+)\)", server.log)[-1]), signal.SIGKILL)
            wait_until(lambda: len(re.findall(r"worker \d+ on \S+ \(process \d+\) is ready", server.log)) == 2, 60)
            wait_until(lambda: httpx.get(f"{server.url}/readyz").is_success, 60)
            assert httpx.post(f"{server.url}/v1/caption", json=body()).json()["caption"] == answered
            assert server.metric('pheye_connections_closed_total{reason="evicted"}') > 76
        assert len(server.log) < 20_000
        assert "Traceback" not in server.log


def test_a_flood_of_connections_leaves_the_probes_quick_and_the_log_short() -> None:
    with running_server(ready=False, open_files=OPEN_FILES) as server:
        ended = threading.Event()
        highest = [0]

        def flood() -> None:
            while not ended.is_set():
                with crowd(server, 300):
                    highest[0] = max(highest[0], open_descriptors(server))

        attackers = [threading.Thread(target=flood) for _ in range(2)]
        for each in attackers:
            each.start()
        try:
            times = probe_times(server, 25)
        finally:
            ended.set()
            for each in attackers:
                each.join()
        assert max(times) < QUICK_S
        assert highest[0] < OPEN_FILES
        assert len(server.log) < 20_000


def test_a_connection_without_a_request_is_closed_without_a_word(impatient: Server) -> None:
    with connect(impatient) as silent:
        assert read_to_end(silent) == b""


def test_half_a_request_line_is_answered_with_408(impatient: Server) -> None:
    with connect(impatient) as half:
        half.sendall(b"GET /livez HT")
        assert read_to_end(half).startswith(b"HTTP/1.1 408 ")


def test_a_head_that_drips_has_its_time_as_a_whole(impatient: Server) -> None:
    began_s = time.monotonic()
    with connect(impatient) as dripping:
        said = drip(dripping, b"GET /livez HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 50, 0.1)
    assert said.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began_s < 5


def test_a_later_head_on_the_same_connection_has_its_time_too(impatient: Server) -> None:
    with connect(impatient) as kept:
        kept.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")
        time.sleep(1.5)  # longer than a head may take: a kept-alive connection may rest
        kept.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\nGET")
        said = read_to_end(kept)
    assert b"HTTP/1.1 200 " in said
    assert b"HTTP/1.1 408 " in said


@pytest.mark.parametrize("framing", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"], ids=["length", "chunked"])
def test_a_body_that_drips_ends_with_408(impatient: Server, framing: bytes) -> None:
    with connect(impatient) as dripping:
        dripping.sendall(POST + framing + b"\r\n\r\n")
        said = drip(dripping, b"1\r\na\r\n" * 100, 0.1)
    assert b"HTTP/1.1 408 " in said
    assert b"connection: close" in said.lower()


def test_a_flood_of_one_byte_chunks_is_refused_and_does_not_hold_up_others(impatient: Server) -> None:
    calm_s = statistics.median(probe_times(impatient, 10))
    ended, said = threading.Event(), []

    def flood() -> None:
        while not ended.is_set():
            with connect(impatient) as attacker:
                send_quietly(attacker, CHUNKED)
                for _ in range(30):
                    if not send_quietly(attacker, b"1\r\na\r\n" * 100_000):
                        break
                said.append(read_to_end(attacker))

    attacker = threading.Thread(target=flood)
    attacker.start()
    try:
        times = probe_times(impatient, 25)
    finally:
        ended.set()
        attacker.join()
    assert said[0].startswith(b"HTTP/1.1 400 ")
    assert statistics.median(times) < max(0.1, 5 * calm_s)


def test_a_length_and_a_coding_in_one_request_are_refused_and_the_connection_closed(impatient: Server) -> None:
    smuggled = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
    with connect(impatient) as attacker:
        attacker.sendall(POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled)
        said = read_to_end(attacker)
    assert said.startswith(b"HTTP/1.1 400 ")
    assert said.count(b"HTTP/1.1") == 1
    assert b"application/problem+json" in said


def test_garbage_after_an_answer_has_begun_breaks_the_connection_and_nothing_else(impatient: Server) -> None:
    for _ in range(20):
        with connect(impatient) as attacker:
            attacker.sendall(b"POST /nowhere HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
            send_quietly(attacker, b"zzz\r\n" * 10)
            read_to_end(attacker)
    assert "Traceback" not in impatient.log
    assert len(re.findall("Invalid HTTP request", impatient.log)) < 5


@pytest.mark.parametrize("path", [b"/docs/swagger-ui-bundle.js", b"/openapi.json"], ids=["file", "document"])
def test_a_peer_that_does_not_read_a_large_page_loses_its_connection(impatient: Server, path: bytes) -> None:
    def still_open() -> float:
        return impatient.metric("pheye_connections_open")

    wait_until(lambda: still_open() <= 1, 20)  # the metric's own
    before = impatient.metric('pheye_connections_closed_total{reason="stalled"}')
    deaf = [connect(impatient, receive_buffer=2048) for _ in range(10)]
    try:
        for each in deaf:
            each.sendall((b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n") * 40)
        wait_until(lambda: impatient.metric('pheye_connections_closed_total{reason="stalled"}') >= before + 10, 30)
        wait_until(lambda: still_open() <= 1, 10)
    finally:
        for each in deaf:
            each.close()


def test_requests_sent_ahead_without_end_do_not_fill_the_memory(impatient: Server) -> None:
    one = b"POST /v1/caption HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
    before = resident_bytes(impatient)
    with connect(impatient) as attacker:
        attacker.settimeout(3)
        ended = threading.Event()

        def read() -> None:
            with suppress(OSError):
                while not ended.is_set() and attacker.recv(65536):
                    pass

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        sent, end_s = 0, time.monotonic() + 4
        with suppress(OSError):  # it is not taken any more, as it should be
            while time.monotonic() < end_s and sent < 200_000_000:
                attacker.sendall(one * 1000)
                sent += len(one) * 1000
        ended.set()
        reader.join()
    assert resident_bytes(impatient) - before < 30_000_000
    assert httpx.get(f"{impatient.url}/livez").is_success
