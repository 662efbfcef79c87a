"""pheye-tiny, the model that is built in: small, honest about where it comes from, and worth being the default.

A quick subset of its evaluation, with room for the chance of a small sample; docs/models.md tells the whole.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from typer.testing import CliRunner

from model.checkpoint.checkpoint import open_checkpoint
from model.checkpoint.sources import EMBEDDED
from model.config import named_geometry
from model.data.world.captions import NOTHING
from model.training.artifacts.records import read_record, told_once
from model.training.planning.data import rehearsal_of
from service.cli.main import app
from service.configuration.settings import Settings

FOLDER = EMBEDDED["pheye-tiny"]


def test_it_is_the_default():
    assert Settings.model_fields["model"].default == "pheye-tiny"


def test_it_has_the_geometry_of_its_name_and_weighs_at_most_25_mb():
    checkpoint = open_checkpoint("pheye-tiny")
    assert checkpoint.config == named_geometry("pheye-tiny")
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= 25_000_000


def test_it_tells_how_it_was_made():
    record = json.loads((FOLDER / "training.json").read_text(encoding="utf-8"))
    assert record["command"].startswith("pheye dev average ")
    assert len(record["commit"]) == 40
    for each in record["averaged"]:
        assert f"{each['model']}={each['share']}" in record["command"]
    made_by = {"pheye-tiny-whole", "pheye-tiny-truthful", "pheye-tiny-level-3", "pheye-tiny"}
    assert set(recipes(record)) == made_by, "and what those began from, each told once"
    assert sum(each["share"] for each in record["averaged"]) == pytest.approx(1)
    with safe_open(FOLDER / "model.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["pheye"]) == record
    whole = read_record(FOLDER)
    assert whole is not None
    assert all(each["training"]["commit"] for each in whole["averaged"])
    assert told_once(whole) == record
    assert rehearsal_of(whole) == "signs", "what a model that is trained on from it rehearses"


def recipes(record: dict[str, Any]) -> Iterator[str]:
    """The recipes of a run, and of every run that led to it."""
    if "recipe" in record:
        yield record["recipe"]["name"]
    for earlier in [each["training"] for each in record.get("averaged", ())] + [record.get("before", {})]:
        yield from recipes(earlier) if earlier else ()


def test_its_record_names_no_path_of_the_machine_that_made_it():
    pointers = r"(?!averaged/|before\b)"
    assert not re.findall(rf'(?:[\s":=])/{pointers}\w+', (FOLDER / "training.json").read_text(encoding="utf-8"))


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


def test_a_first_photograph_is_said_to_be_unknown(tmp_path: Path) -> None:
    skimage = pytest.importorskip("skimage", reason="its photographs come with the extra evaluate")
    photograph = Path(skimage.__file__).parent / "data/chelsea.png"
    command = [str(Path(sys.executable).with_name("pheye")), "caption", str(photograph), "--threads", "1"]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == NOTHING
    assert "outside what pheye-tiny knows" in done.stderr
