"""What a server says of itself, and what is said of one that is not there."""

from __future__ import annotations

import asyncio

import pytest

from loadtest.servers import Server, ServerError
from tests.support.scripted import JSON, serving

METRICS = b"""\
# TYPE pheye_step_seconds histogram
pheye_step_seconds_sum{phase="encode"} 1.5
pheye_step_seconds_count{phase="encode"} 3
pheye_step_seconds_sum{phase="decode"} 2.0
# TYPE pheye_queue_seconds histogram
pheye_queue_seconds_sum 40.0
"""


def test_a_card_is_what_it_says_when_it_is_ready() -> None:
    with serving((200, JSON, None, b'{"status": "ready", "model": "pheye-tiny"}')) as server:
        assert asyncio.run(Server("a", server.url).card()) == {"status": "ready", "model": "pheye-tiny"}


def test_a_server_that_is_not_ready_says_why() -> None:
    with (
        serving((503, JSON, None, b"the model is loading")) as server,
        pytest.raises(ServerError, match=r"a: http://127.0.0.1:\d+/readyz says 503: the model is loading"),
    ):
        asyncio.run(Server("a", server.url).card())


def test_a_server_of_another_kind_is_named() -> None:
    with (
        serving((200, JSON, None, b"[1]")) as server,
        pytest.raises(ServerError, match=r"a: http://127.0.0.1:\d+/readyz is no JSON object"),
    ):
        asyncio.run(Server("a", server.url).card())


def test_a_server_that_is_not_there_is_named() -> None:
    with serving() as server:
        gone = Server("ours", server.url)
    with pytest.raises(ServerError, match=f"ours: no answer from {gone.url}"):
        asyncio.run(gone.card())
    assert asyncio.run(gone.seconds()) == {}


def test_the_work_of_its_engines_is_the_sum_over_all_phases() -> None:
    with serving((200, "text/plain", None, METRICS)) as server:
        assert asyncio.run(Server("a", server.url).seconds())["engine"] == 3.5


@pytest.mark.parametrize(
    "line",
    [
        pytest.param((404, JSON, None, b"{}"), id="no such route"),
        pytest.param((200, "text/plain", None, b"pheye_step_seconds_sum{ nonsense"), id="no metrics"),
        pytest.param((200, "text/plain", None, b"# TYPE other gauge\nother 1\n"), id="another program's metrics"),
    ],
)
def test_a_server_that_does_not_count_its_work_has_none(line: tuple[int, str, None, bytes]) -> None:
    with serving(line) as server:
        assert asyncio.run(Server("a", server.url).seconds()) == {}
