"""`pheye dev capacity` with costs from a file: tables, and mistakes in one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.bench.capacity import measure
from service.bench.capacity.costs import MachineModel, StepCosts
from service.cli.main import app
from service.configuration.settings import Settings
from service.machine import workers

MACHINE = MachineModel(StepCosts(0.01, 0.005, 0.005, 0.005, 0.01, 0.005, 0.001, 0, 0.02), tiles=10, cached_images=20)
SMALL = ["--rate", "20", "--images", "100", "--tokens", "2", "--price", "0.5"]


def saved(folder: Path) -> str:
    """Write a file as --save does."""
    file = folder / "costs.json"
    file.write_text(json.dumps({"machine": asdict(MACHINE)}), encoding="utf-8")
    return str(file)


def test_a_fleet_is_sized_for_each_way_of_routing_with_what_it_costs(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["dev", "capacity", "--costs", saved(tmp_path), *SMALL])
    assert done.exit_code == 0, done.output
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines() if "│" in line]
    found = {row[0]: row for row in rows if len(row) == 10}
    assert list(found) == ["no affinity", "affinity", "affinity, bounded (1.25)"]
    hits = {name: int(row[3].removesuffix(" %")) for name, row in found.items()}
    assert hits["affinity"] > hits["no affinity"]
    for row in found.values():
        machines, an_hour, per_million = int(row[1]), float(row[8]), float(row[9])
        assert an_hour == pytest.approx(0.5 * machines)
        assert per_million == pytest.approx(an_hour / 20 / 3600 * 1e6, abs=0.01)


def test_a_rate_at_which_nobody_asks_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["dev", "capacity", "--costs", saved(tmp_path), "--rate", "0.01"])
    assert done.exit_code == 2
    assert "--rate: in 60 s nobody asks" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--rate: give a rate of requests to size a fleet for, or --check, or --save FILE"),
        (["--costs", "COSTS", "--check"], "--costs: --save and --check measure; leave one of them out"),
        (["--costs", "nowhere.json", "--rate", "1"], "--costs: nowhere.json: No such file"),
        (["--costs", "OTHER", "--rate", "1"], "was not written by --save"),
        (
            ["--costs", "COSTS", "--rate", "1", "--slots", "32", "--devices", "cpu"],
            "--devices, --slots: not with --costs",
        ),
        (["--save", "nowhere/costs.json"], "--save: nowhere/costs.json: No such file"),
    ],
    ids=["nothing to do", "measured and read", "no file", "another file", "settings beside costs", "no folder"],
)
def test_mistakes_are_said_in_one_line(words: list[str], said: str, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"machine": {"costs": {}}}', encoding="utf-8")
    files = {"COSTS": saved(tmp_path), "OTHER": str(other)}
    done = CliRunner().invoke(app, ["dev", "capacity", *(files.get(word, word) for word in words)])
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_workers_that_auto_stands_for_are_those_of_the_machine_that_is_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described: list[Settings] = []

    @contextmanager
    def running_service(settings: Settings) -> Iterator[str]:
        described.append(settings)
        yield "http://127.0.0.1:9"

    def measured_machine(settings: Settings, *_: object) -> MachineModel:
        described.append(settings)
        return replace(MACHINE, workers=len(settings.devices.split(",")))

    monkeypatch.setattr(workers, "usable_cores", lambda: 2)
    monkeypatch.setattr(workers, "available_mb", lambda: 64_000.0)
    monkeypatch.setattr(workers, "_GPUS", ())
    monkeypatch.setattr(measure, "running_service", running_service)
    monkeypatch.setattr(measure, "measured_machine", measured_machine)
    monkeypatch.setattr(measure, "in_turns", lambda *_: [])
    (tmp_path / "link.json").symlink_to("costs.json")
    done = CliRunner().invoke(app, ["dev", "capacity", "--save", str(tmp_path / "link.json")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "costs.json").exists()
    assert (tmp_path / "link.json").is_symlink()
    assert [each.devices for each in described] == ["cpu,cpu", "cpu,cpu"]
    assert "one machine: 2 x 8 slots" in done.stdout
