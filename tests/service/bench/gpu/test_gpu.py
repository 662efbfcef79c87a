"""`pheye gpu` on a CPU with the smallest model: every part runs, and a report is left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.bench.gpu import run as gpu_run
from service.bench.gpu.command import carry_out
from service.bench.gpu.part import Part
from service.bench.gpu.run import GpuRunOptions
from service.cli.main import app

MICRO = "random:pheye-micro"


def order(folder: Path, only: str, seconds: float = 60.0) -> GpuRunOptions:
    return GpuRunOptions(folder, "cpu", (MICRO,), (), seconds, tuple(only.split(",")), "abc")


def read(folder: Path) -> list[dict[str, Any]]:
    outcomes: list[dict[str, Any]] = json.loads((folder / "gpu.json").read_text())["outcomes"]
    return outcomes


def states(folder: Path) -> set[tuple[str, str]]:
    return {(each["part"], each["state"]) for each in read(folder)}


def test_a_rehearsal_measures_checks_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = carry_out(order(tmp_path, "machine,speed", 150.0))
    done = {each["item"]: each["data"] for each in read(tmp_path) if each["state"] == "done"}
    assert code == 0
    assert done["card"]["cores"] >= 1
    assert done["rates float32"]["bytes_per_s"] > 0
    step = done["decode graphs, projected 1"]
    assert step["share"] == pytest.approx(step["floor_s"] / step["seconds"])
    told, (text, _) = (tmp_path / "gpu.md").read_text(), capsys.readouterr()
    assert "micro: a decode step" in told
    assert told in text
    assert (tmp_path / "gpu.png").stat().st_size > 1000
    assert len(list(tmp_path.iterdir())) <= 8


def test_the_service_is_loaded_killed_and_soaked(tmp_path: Path) -> None:
    carry_out(order(tmp_path, "load,kill", 300.0))
    done = {each["item"]: each["data"] for each in read(tmp_path) if each["state"] == "done"}
    assert done["server"]["start_s"] > 0
    assert done["2 clients, new images, whole answers"]["lost"] == 0
    killed = done["worker killed under load"]
    assert killed["answered"] == killed["requests"] == killed["same_text"] == 32


def test_a_part_that_crashes_is_reported_as_such_and_the_next_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = [Part("bad", "tests.support.gpu_items", 1.0), Part("machine", "model.bench.gpu.card", 1.0)]
    monkeypatch.setattr(gpu_run, "parts", lambda _: broken)
    assert carry_out(order(tmp_path, "bad,machine", 50.0)) == 1
    assert {("bad", "crashed"), ("bad", "timed out"), ("bad", "failed"), ("machine", "done")} <= states(tmp_path)
    text, progress = capsys.readouterr()
    assert "| bad  | dies   | crashed" in text
    assert "dies: crashed its process ended with -9" in progress
    assert "4 wrong, crashed or hanging" in text


def test_a_server_that_does_not_start_loses_its_parts_alone(tmp_path: Path) -> None:
    wanted = GpuRunOptions(tmp_path, "cpu", ("random:no-such-model",), (), 30.0, ("kill",), "abc")
    assert carry_out(wanted) == 1
    (lost,) = read(tmp_path)
    assert (lost["part"], lost["item"], lost["state"]) == ("kill", "server", "failed")
    assert "no-such-model" in (tmp_path / "log.txt").read_text()


def test_the_command_knows_golden_folders_by_their_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[GpuRunOptions] = []
    monkeypatch.setattr("service.bench.gpu.command.carry_out", lambda order: seen.append(order) or 0)
    (tmp_path / "golden" / "other").mkdir(parents=True)
    (tmp_path / "golden" / "other" / "cases.json").write_text("{}")
    words = ["dev", "gpu", "--device", "cpu", "--report", str(tmp_path / "r"), "--golden", str(tmp_path / "golden")]
    assert CliRunner().invoke(app, words).exit_code == 0
    (asked,) = seen
    assert [Path(folder).name for folder in asked.golden] == ["x2-l2", "other"]
    assert asked.models[0] == "random:Pheye-x4-448"
    assert asked.seconds == 360.0
