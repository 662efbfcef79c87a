"""The load test as it is typed, against a real service: what it measures is what the service did."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from loadtest.__main__ import main
from loadtest.mix import Mix, asks, warm_up_asks
from loadtest.sweep import LoadMeasurement
from tests.loadtest.report.test_results import POINTS
from tests.support.scripted import JSON, Actor, serving
from tests.support.serving import Server, running_server, wait_until

SMALL = ["--size", "48x32", "--max-tokens", "4", "--warm-up", "1", "--per-client", "1"]


@pytest.fixture(scope="module")
def service() -> Iterator[Server]:
    with running_server() as running:
        yield running


def measured(folder: Path, command: str, server: Server, *words: str, seed: int) -> dict[str, Any]:
    """The document of a command that ends well."""
    shared = ["--server", f"pheye={server.url}", "--seed", str(seed), "--report", str(folder), *SMALL]
    assert main([command, *shared, *words]) == 0
    document: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert document["command"] == command
    assert document["seed"] == seed
    assert document["servers"][0]["card"]["model"] == "pheye-micro-random-weights"
    assert document["broken"] is None
    return document


def test_a_closed_loop_counts_what_the_service_counted(service: Server, tmp_path: Path) -> None:
    series = 'pheye_requests_total{endpoint="/v1/vqa",status="200"}'
    before = service.metric(series), service.metric("pheye_generated_tokens_total")
    words = ["--clients", "3", "--requests", "8", "--captions", "0", "--questions", "3", "--warm-up", "0"]
    (point,) = measured(tmp_path, "run", service, *words, seed=1)["points"]
    summary = point["summary"]
    assert summary["requests"] == summary["answered"] == 8
    assert service.metric(series) - before[0] == 8
    assert service.metric("pheye_generated_tokens_total") - before[1] == summary["tokens"]
    mix = Mix(captions=0.0, questions=3, width_px=48, height_px=32)
    assert summary["answers"] == sum(ask.answers for ask in asks(mix, "1 0 0", 8)) > 8
    assert summary["latency_s"]["p50"] > 0
    assert summary["engine_s_per_answer"] > 0
    assert summary["cpu_s_per_answer"].keys() == {"api", "workers", "decoders", "client"}
    assert summary["first_token_s"] is None


def test_an_open_loop_of_streams_times_first_texts(service: Server, tmp_path: Path) -> None:
    words = ["--rate", "40", "--requests", "8", "--stream"]
    (point,) = measured(tmp_path, "run", service, *words, seed=2)["points"]
    summary = point["summary"]
    assert point["load"]["loop"] == {"rate_per_s": 40.0}
    assert (summary["answered"], summary["refused"]) == (8, 0)
    assert 0 < summary["first_token_s"]["p50"] < summary["latency_s"]["p50"]
    assert summary["per_token_s"]["p50"] > 0


def test_the_share_of_cached_images_is_the_share_that_was_asked_for(service: Server, tmp_path: Path) -> None:
    words = ["--clients", "2", "--hits", "0,0.5,1", "--hot-images", "2", "--requests", "12", "--format", "PNG"]
    document = measured(tmp_path, "sweep", service, *words, seed=3)
    assert [row["load"]["mix"]["hits"] for row in document["rows"]] == [0.0, 0.5, 1.0]
    for number, point in enumerate(document["points"]):
        mix = Mix(**point["load"]["mix"])
        seed = f"3 0 {number}"
        hot = {ask.image for ask in warm_up_asks(mix, seed, 0)}
        expected = sum(ask.image in hot for ask in asks(mix, seed, 12)) / 12
        assert point["summary"]["cached"] == pytest.approx(expected)


def test_the_search_for_capacity_ends_at_a_rate_that_was_tried(service: Server, tmp_path: Path) -> None:
    words = ["--target", "30", "--rate", "6000", "--precision", "0.9", "--requests", "4"]
    document = measured(tmp_path, "capacity", service, *words, seed=4)
    assert document["capacity"] == {"pheye": 6000.0}
    assert [point["load"]["loop"]["rate_per_s"] for point in document["points"]] == [6000.0]


def test_a_target_that_no_rate_keeps_is_a_failure(
    service: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("loadtest.capacity.LEAST_PER_S", 20.0)
    words = ["--target", "0.000001", "--rate", "30", "--requests", "1"]
    assert main(["capacity", "--server", f"pheye={service.url}", *words, *SMALL]) == 1
    assert "pheye: no rate within the target" in capsys.readouterr().out


def test_what_was_found_is_told_and_drawn(service: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measured(tmp_path, "sweep", service, "--clients", "1,2", "--hits", "0", "--requests", "2", seed=5)
    told = capsys.readouterr()
    assert "answers/s" in told.out
    assert "2 clients" in told.out
    assert "pheye, 2 clients: " in told.err
    with Image.open(tmp_path / "report.png") as image:
        assert image.width > 1000


def test_a_service_that_dies_in_the_middle_of_a_load_is_reported_with_what_was_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_server() as server:

        def kill() -> None:
            wait_until(lambda: server.metric("pheye_requests_running") > 0, 30)
            server.process.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        words = ["--clients", "2,4", "--hits", "0", "--requests", "60", "--report", str(tmp_path), *SMALL]
        code = main(["sweep", "--server", f"pheye={server.url}", *words, "--max-tokens", "200", "--warm-up", "0"])
        killer.join()
    document = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    summary = document["points"][0]["summary"]
    assert code == 1
    assert sum(summary["failed"].values()) == summary["requests"] - summary["answered"] > 0
    assert summary["failed"].keys() <= {"ConnectError", "ReadError", "RemoteProtocolError", "WriteError"}
    assert "lost" in capsys.readouterr().err


def test_a_server_lost_between_two_loads_ends_the_run_and_keeps_what_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card, answer, broken = (200, JSON, None, b"{}"), (200, JSON, None, b"{}"), (500, JSON, None, b"out of order")
    metrics = (404, JSON, None, b"")
    words = ["--clients", "1", "--hits", "0", "--repeats", "2", "--requests", "1", "--report", str(tmp_path), *SMALL]
    with serving(card, answer, metrics, answer, metrics, broken) as server:
        assert main(["sweep", "--server", f"a={server.url}", *words]) == 1
    document = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert len(document["points"]) == 1
    assert document["broken"] == "a: a warm-up request was not answered: 500 out of order"
    assert "loadtest: a: a warm-up request was not answered" in capsys.readouterr().err


def test_an_interrupted_run_keeps_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def interrupted(*_: Any) -> AsyncIterator[LoadMeasurement]:
        yield POINTS[0]
        raise KeyboardInterrupt

    monkeypatch.setattr("loadtest.__main__.measure", interrupted)
    with serving((200, JSON, None, b"{}")) as server:
        assert main(["run", "--server", f"ours={server.url}", "--report", str(tmp_path)]) == 130
    document = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert (len(document["points"]), document["broken"]) == (1, "interrupted")
    assert "loadtest: interrupted" in capsys.readouterr().err


def test_results_alone_are_written_where_they_are_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def measured(*_: Any) -> AsyncIterator[LoadMeasurement]:
        yield POINTS[0]

    monkeypatch.setattr("loadtest.__main__.measure", measured)
    with serving((200, JSON, None, b"{}")) as server:
        assert main(["run", "--server", f"ours={server.url}", "--json", str(tmp_path / "found.json")]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["found.json"]
    assert len(json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))["points"]) == 1


def test_a_password_in_an_address_is_in_no_results_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def measured(*_: Any) -> AsyncIterator[LoadMeasurement]:
        yield POINTS[0]

    monkeypatch.setattr("loadtest.__main__.measure", measured)
    with serving((200, JSON, None, b"{}"), (503, JSON, None, b"{}")) as server:
        words = ["run", "--server", server.url.replace("//", "//me:secret@"), "--json", str(tmp_path / "found.json")]
        assert main(words) == 0
        assert main(words) == 1
    assert main(["run", "--server", "http://me:secret@127.0.0.1:9"]) == 1
    told = capsys.readouterr()
    assert "secret" not in told.out + told.err + (tmp_path / "found.json").read_text()


def test_a_key_goes_to_the_server_and_into_no_report_and_results_to_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = list[str | None]()

    class Guarded(Actor):
        def do_GET(self) -> None:
            sent.append(self.headers["Authorization"])
            super().do_GET()

    (tmp_path / "key").write_text("a-key-nobody-may-see\n")
    words = ["--api-key-file", str(tmp_path / "key"), "--json", "-", "--requests", "1", "--per-client", "1"]
    ready, answer, counted = (200, JSON, None, b"{}"), (200, JSON, None, b'{"answer": "a"}'), (404, JSON, None, b"{}")
    with serving(ready, counted, answer, counted, actor=Guarded) as server:
        assert main(["run", "--server", f"a={server.url}", *words, "--clients", "1", "--warm-up", "0"]) == 0
    assert sent == ["Bearer a-key-nobody-may-see"] * 4
    told = capsys.readouterr()
    assert json.loads(told.out)["servers"] == [{"name": "a", "url": server.url, "card": {}}]
    assert "answers/s" in told.err
    assert "a-key-nobody-may-see" not in told.out + told.err
    assert not Path("-").exists()


@pytest.mark.parametrize("there", [True, False], ids=["a link to a file", "a link to nothing yet"])
def test_results_go_where_a_link_leads_and_it_stays_one(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def measured(*_: Any) -> AsyncIterator[LoadMeasurement]:
        yield POINTS[0]

    monkeypatch.setattr("loadtest.__main__.measure", measured)
    kept, link = tmp_path / "kept.json", tmp_path / "link.json"
    link.symlink_to(kept.name)
    if there:
        kept.write_text("")
    with serving((200, JSON, None, b"{}")) as server:
        assert main(["run", "--server", f"ours={server.url}", "--json", str(link)]) == 0
    assert link.is_symlink()
    assert len(json.loads(kept.read_text(encoding="utf-8"))["points"]) == 1


@pytest.mark.parametrize("name", ["nowhere/found.json", "."])
def test_a_file_that_cannot_be_written_is_found_before_the_work(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--server", "a=http://127.0.0.1:9", "--json", str(tmp_path / name)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_a_server_that_is_not_there_is_named_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving() as server:
        gone = server.url
    assert main(["run", "--server", f"a={gone}", "--report", str(tmp_path), *SMALL]) == 1
    assert f"loadtest: a: no answer from {gone}" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_found_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["run", "--server", "a=http://127.0.0.1:9", "--report", str(tmp_path / "file" / "folder")]) == 2
    assert "loadtest: " in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_found_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results.json").mkdir()
    assert main(["run", "--server", "a=http://127.0.0.1:9", "--report", str(tmp_path)]) == 2
    assert "results.json" in capsys.readouterr().err


def test_a_disk_that_is_full_at_the_end_costs_the_file_and_not_what_was_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def measured(*_: Any) -> AsyncIterator[LoadMeasurement]:
        yield POINTS[0]

    monkeypatch.setattr("loadtest.__main__.measure", measured)
    with serving((200, JSON, None, b"{}")) as server:
        assert main(["run", "--server", f"ours={server.url}", "--json", "/dev/full"]) == 1
    told = capsys.readouterr()
    assert "answers/s" in told.out
    assert told.err.splitlines()[-1] == "loadtest: [Errno 28] No space left on device"
