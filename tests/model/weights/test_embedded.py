"""pheye-tiny, the model that is built in: small, honest about where it comes from, and worth being the default.

A quick subset of its evaluation, with room for the chance of a small sample; docs/models.md tells the whole.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import pytest
from safetensors import safe_open
from typer.testing import CliRunner

from model.checkpoint.checkpoint import open_checkpoint
from model.checkpoint.sources import EMBEDDED
from model.config import named_geometry
from service.cli.main import app
from service.settings import Settings

FOLDER = EMBEDDED["pheye-tiny"]


def test_it_is_the_default():
    assert Settings.model_fields["model"].default == "pheye-tiny"


def test_it_has_the_geometry_of_its_name_and_weighs_at_most_25_mb():
    checkpoint = open_checkpoint("pheye-tiny")
    assert checkpoint.config == named_geometry("pheye-tiny")
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= 25_000_000


def test_it_tells_how_it_was_made():
    record = json.loads((FOLDER / "training.json").read_text(encoding="utf-8"))
    assert "pheye train" in record["command"]
    assert len(record["commit"]) == 40
    assert [record["recipe"]["name"], record["before"]["recipe"]["name"]] == ["pheye-tiny-level-3", "pheye-tiny"]
    with safe_open(FOLDER / "model.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["pheye"]) == record


def evaluated(folder: Path, *words: str) -> dict[str, float]:
    with chdir(folder):
        done = CliRunner().invoke(app, ["evaluate", *words, "--threads", "1", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    report = json.loads(next(folder.glob("*.scores.json")).read_text(encoding="utf-8"))
    assert report["answered"] == report["asked"]
    return {score["metric"]: score["score"] for score in report["scores"] if score["group"] == "all"}


@pytest.mark.parametrize(
    ("words", "least"),
    [
        (("easy-vqa", "--limit", "100"), {"exact match": 95}),
        (("scenes", "--count", "45"), {"colours and shapes": 92, "signs read": 72, "counting": 85}),
    ],
    ids=["easy-VQA", "fresh scenes"],
)
def test_it_sees(tmp_path: Path, words: tuple[str, ...], least: dict[str, float]) -> None:
    scores = evaluated(tmp_path, *words)
    assert {metric: scores[metric] >= bar for metric, bar in least.items()} == dict.fromkeys(least, True), scores


def test_what_lies_outside_its_world_gets_a_harmless_answer(tmp_path: Path) -> None:
    from tests.support.serving import image_file

    (tmp_path / "photo.jpg").write_bytes(image_file("JPEG"))
    command = [str(Path(sys.executable).with_name("pheye")), "caption", "photo.jpg", "--threads", "1"]
    said = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=120).stdout
    assert 0 < len(said.strip()) < 400
