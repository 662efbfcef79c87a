"""The storm's own honesty, against a server that misbehaves on purpose: what is lost is counted as lost."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from loadtest.storm import StormReport, main, storm
from tests.support.scripted import EVENTS, JSON, Actor, Line, serving

ANSWER = b'{"answer": "a cat"}'
STREAM = b'data: {"chunk": "a cat"}\n\ndata: {"completed": true}\n\n'
FAILED = b'data: {"chunk": "a"}\n\ndata: {"completed": true, "error": {"status": 500, "title": "no"}}\n\n'


def one_request(*lines: Line) -> StormReport:
    with serving(*lines) as server:
        report = asyncio.run(storm(server.url, [b"image"], requests=1, clients=1, hang_up_share=0.0))
        assert not server.lines
    return report


@pytest.mark.parametrize(
    ("line", "status"),
    [
        pytest.param((200, JSON, None, ANSWER), "200", id="an answer"),
        pytest.param((200, EVENTS, None, STREAM), "200", id="a stream"),
        pytest.param((200, EVENTS, None, FAILED), "500", id="a stream that fails at its end"),
        pytest.param((200, EVENTS, None, b'data: {"chunk": "a"}\n\n'), "cut short", id="half a stream"),
        pytest.param((200, EVENTS, None, b""), "cut short", id="an empty stream"),
        pytest.param((500, JSON, None, b"{}"), "500", id="an error"),
        pytest.param((503, JSON, None, b"{}"), "503", id="the end of the service"),
        pytest.param((0, "", None, b""), "RemoteProtocolError", id="a broken connection"),
    ],
)
def test_a_request_counts_as_answered_only_with_its_whole_answer(line: Line, status: str) -> None:
    report = one_request(line)
    assert report.statuses == {status: 1}
    assert report.answered == (status == "200")
    assert report.hung_up == report.refused == 0
    assert len(report.seconds) == 1


def test_who_is_told_to_come_back_does_and_nothing_is_lost() -> None:
    busy = [(429, JSON, "0", b"{}"), (503, JSON, "0.01", b"{}")]
    report = one_request(*busy, (200, JSON, None, ANSWER))
    assert report.refused == 2
    assert report.answered == 1
    assert report.statuses == {"200": 1}


def test_patience_with_a_service_that_only_refuses_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtest.storm.PATIENCE_S", 30.0)
    report = one_request((503, JSON, "60", b"{}"))
    assert report.statuses == {"503": 1}
    assert report.answered == report.refused == 0


def test_everybody_who_neither_left_nor_lost_is_answered() -> None:
    class Slow(Actor):
        def do_POST(self) -> None:
            time.sleep(0.2)
            super().do_POST()

    with serving(*[(200, JSON, None, ANSWER)] * 40, actor=Slow) as server:
        report = asyncio.run(storm(server.url, [b"image"], requests=40, clients=8, hang_up_share=0.5, seed=1))
    assert report.hung_up > 0
    assert report.answered == report.statuses["200"] == 40 - report.hung_up


@pytest.mark.parametrize(
    ("answered", "code"), [pytest.param(2, 0, id="all answered"), pytest.param(1, 1, id="one lost")]
)
def test_the_command_prints_what_came_of_it(
    answered: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def stormed(url: str, images: list[bytes], *, requests: int, clients: int, key: str | None) -> StormReport:
        assert (url, images, requests, clients, key) == ("http://there", [b"image"], 3, 2, None)
        return StormReport(answered=answered, hung_up=1, statuses=Counter({"200": answered}))

    (tmp_path / "image").write_bytes(b"image")
    monkeypatch.setattr("loadtest.storm.storm", stormed)
    words = ["storm", "http://there", str(tmp_path / "image"), "--requests", "3", "--clients", "2"]
    monkeypatch.setattr(sys, "argv", words)
    assert main() == code
    told = json.loads(capsys.readouterr().out)
    assert (told["answered"], told["hung_up"], told["statuses"]) == (answered, 1, {"200": answered})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.png"], "nowhere.png: cannot be read: No such file"),
        (["IMAGE", "--clients", "0"], "'--clients': '0' is not a whole number from 1 up"),
        (["IMAGE", "--requests", "-1"], "'--requests': '-1' is not a whole number from 1 up"),
    ],
    ids=["no image", "no client", "no request"],
)
def test_mistakes_end_with_exit_code_2_and_are_named(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "image").write_bytes(b"image")
    typed = [str(tmp_path / "image") if word == "IMAGE" else word for word in words]
    monkeypatch.setattr(sys, "argv", ["storm", "http://127.0.0.1:9", *typed])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
