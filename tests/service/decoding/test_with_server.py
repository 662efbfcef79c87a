"""A real server whose clients send hostile images: nobody else notices, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import socket
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psutil
import pytest

from tests.support import hostile
from tests.support.decoders import alive, slow_file
from tests.support.serving import Server, assert_problem, image_file, running_server, wait_until


@pytest.fixture(scope="module")
def server():
    with running_server(decoders=2, decode_timeout_s=60.0) as running:
        yield running


def upload(server: Server, file: bytes, **kwargs):
    """Have an image decoded, and no more."""
    with server.client() as client:
        return client.post("/v1/images", content=file, headers={"Content-Type": "image/png"}, **kwargs)


def decoders(server: Server) -> list[int]:
    """The decoders are the children of the fork server, which is a child of the server."""
    family = psutil.Process(server.process.pid).children(recursive=True)
    return [each.pid for each in family if each.ppid() != server.process.pid and alive(each.pid)]


def send(server: Server, file: bytes) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    head = f"POST /v1/images HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(file)}\r\n\r\n"
    connection.sendall(head.encode() + file)
    return connection


def busy(server: Server) -> float:
    return server.metric("pheye_decoders_busy")


@pytest.mark.parametrize(
    ("make", "status", "words"),
    [
        pytest.param(lambda: hostile.scan_bomb(7000, 9000), 422, "128 scans (JPEG)", id="scans"),
        pytest.param(lambda: hostile.jpeg_segments(5_000_000), 422, "4096 segments", id="jpeg-segments"),
        pytest.param(lambda: hostile.gif_comments(9_000_000), 422, "65536 blocks", id="gif-comments"),
        pytest.param(lambda: hostile.png_chunks(1_600_000), 422, "16384 chunks", id="png-chunks"),
        pytest.param(lambda: hostile.bmp_runs(4000, 20_000_000), 422, "run-length codes", id="bmp-runs"),
        pytest.param(lambda: hostile.tiff_tile(9_000), 413, "a tile: 9000 x 9000", id="tiff-tile"),
        pytest.param(lambda: hostile.tiff_strip(20_000, 20_000, 20_000), 413, "20000 x 20000 pixels", id="tiff-strip"),
        pytest.param(lambda: hostile.tiff_twice(40_000), 413, "40000 x 40000 pixels", id="tiff-width-twice"),
        pytest.param(
            lambda: hostile.gif_wide_frame(60_000, 60_000), 413, "its first frame: 60000 x 60000", id="gif-frame"
        ),
        pytest.param(lambda: hostile.webp_canvas(16_000, 16_000), 413, "16000 x 16000", id="webp-canvas"),
    ],
)
def test_each_kind_of_hostile_file_is_refused_soon_and_costs_the_api_process_nothing(server, make, status, words):
    file, api = make(), psutil.Process(server.process.pid)
    before, began = api.cpu_times().user, time.monotonic()
    assert_problem(upload(server, file), status, words)
    assert time.monotonic() - began < 15.0
    assert api.cpu_times().user - before < 2.0
    assert busy(server) == 0


def test_scan_bombs_do_not_slow_down_another_client(server):
    bomb, small = hostile.scan_bomb(7000, 9000), image_file()

    def median_s() -> float:
        times = []
        for _ in range(15):
            began = time.monotonic()
            assert upload(server, small).status_code == 201
            times.append(time.monotonic() - began)
        return statistics.median(times)

    calm_s = median_s()
    over = threading.Event()

    def attack() -> None:
        while not over.is_set():
            assert upload(server, bomb).status_code == 422

    with ThreadPoolExecutor(2) as attackers:
        attacks = [attackers.submit(attack) for _ in range(2)]
        under_fire_s = median_s()
        over.set()
        for each in attacks:
            each.result()
    assert under_fire_s < 20 * calm_s + 0.5  # a bomb used to hold a thread for 18 s


def test_senders_who_hang_up_free_their_decoders_at_once(server):
    killed = server.metric('pheye_decoders_killed_total{reason="cancelled"}')
    hogs = [send(server, slow_file()) for _ in range(2)]
    wait_until(lambda: busy(server) == 2)
    for hog in hogs:
        hog.close()
    assert upload(server, image_file(), timeout=10).status_code == 201
    assert busy(server) == 0
    assert server.metric('pheye_decoders_killed_total{reason="cancelled"}') == killed + 2


def test_kills_of_decoders_cost_no_request(server):
    wait_until(lambda: len(decoders(server)) == 2)
    answers = [[] for _ in range(4)]
    over = threading.Event()

    def ask(statuses: list[int]) -> None:
        while not over.is_set():
            statuses.append(upload(server, image_file("PNG", (300, 200))).status_code)

    def all_answered() -> bool:
        return all(len(statuses) > count for statuses, count in zip(answers, before, strict=True))

    with ThreadPoolExecutor(4) as clients:
        asking = [clients.submit(ask, statuses) for statuses in answers]
        for _ in range(20):
            for pid in decoders(server)[:1]:
                os.kill(pid, signal.SIGKILL)
            before = [len(statuses) for statuses in answers]
            wait_until(all_answered)  # no image has two of its decoders killed
        over.set()
        for each in asking:
            each.result()
    assert {status for statuses in answers for status in statuses} == {201}
    wait_until(lambda: len(decoders(server)) == 2)
    assert server.metric('pheye_decoders_killed_total{reason="killed"}') >= 10


def test_a_decoder_that_is_stopped_costs_no_request():
    with running_server(decoders=1, decode_timeout_s=1.0) as running:
        assert upload(running, image_file(size=(40, 30))).status_code == 201  # it is one of the pool by now
        os.kill(decoders(running)[0], signal.SIGSTOP)
        assert upload(running, image_file()).status_code == 201
        assert running.metric('pheye_decoders_killed_total{reason="hung"}') == 1


def test_large_images_leave_no_memory_in_the_api_process(server):
    api = psutil.Process(server.process.pid)
    upload(server, image_file())
    before = api.memory_info().rss
    file = image_file("PNG", (5000, 4000))
    with ThreadPoolExecutor(4) as clients:
        assert {each.status_code for each in clients.map(lambda _: upload(server, file), range(8))} == {201}
    assert api.memory_info().rss - before < 60e6
    wait_until(lambda: all(psutil.Process(pid).memory_info().rss < 120e6 for pid in decoders(server)), 20)


def test_bad_tags_write_no_log(server):
    before = len(server.log)
    assert upload(server, hostile.png_bad_exif(60_000)).status_code == 201
    assert len(server.log) - before < 2000


def test_the_deadline_covers_decoding():
    with running_server(decoders=1, decode_timeout_s=60.0, deadline_s=1.0) as running:
        assert_problem(upload(running, slow_file()), 504, "no complete answer within 1 s")
        assert_problem(upload(running, slow_file()), 504, "no complete answer within 1 s")
        assert running.metric('pheye_requests_dropped_total{reason="deadline"}') == 2
        assert upload(running, image_file()).status_code == 201


def test_an_image_that_takes_too_long_is_refused_in_words():
    with running_server(decoders=1, decode_timeout_s=2.0) as running:
        assert_problem(upload(running, slow_file()), 422, "image: could not be decoded within 2 s")
        assert upload(running, image_file()).status_code == 201


def test_a_stop_waits_for_no_decoder_and_leaves_none():
    with running_server(decoders=2, decode_timeout_s=60.0, drain_grace_s=1.0) as running:
        wait_until(lambda: len(decoders(running)) == 2)
        pids = decoders(running)
        with closing(send(running, slow_file())), closing(send(running, slow_file())):
            wait_until(lambda: busy(running) == 2)
            running.process.terminate()
            running.process.wait(15)
            wait_until(lambda: not any(map(alive, pids)))


def test_no_decoder_outlives_an_api_process_that_is_killed():
    with running_server(decoders=2, decode_timeout_s=60.0) as running:
        wait_until(lambda: len(decoders(running)) == 2)
        pids = decoders(running)
        with closing(send(running, slow_file())):
            wait_until(lambda: busy(running) == 1)
            running.process.kill()
            running.process.wait()
            wait_until(lambda: not any(map(alive, pids)))
