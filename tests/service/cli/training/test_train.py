"""`pheye train`: learns twenty images by heart, survives a kill, and what it leaves behind answers as it was taught."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from model.checkpoint.checkpoint import open_checkpoint
from model.training.artifacts.journal import read_journal
from model.training.compute import ComputeOptions
from model.training.planning.data import read_data
from model.training.recipe import RECIPES, changed
from model.training.run import StartingPoint, TrainingRun
from service.cli.main import app
from tests.support.small_model import answer, small_folder, write_pictures

PHEYE = [str(Path(sys.executable).with_name("pheye"))]
STEPS, KILL_AFTER, CHECKPOINT_STEPS = 90, 25, 10
PLAIN = ["--validation", "0"]
LEARN = [*PLAIN, "--steps", str(STEPS), "--learning-rate", "5e-3", "--batch", "20", "--micro-batch", "20"]
MORE = ["--published", "--gradient-checkpointing", "--turns", "2"]
HERE = ["--precision", "float32", "--threads", "1"]


def pheye(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data") / "pictures")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_folder(tmp_path_factory.mktemp("start") / "model")


@pytest.fixture(scope="module")
def killed_and_resumed(data: Path, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was killed on its way, and then continued to its end."""
    folder = tmp_path_factory.mktemp("run")
    words = ["train", "--model", start, "--data", data, "--output", folder, *LEARN, *HERE, "--workers", 1]
    command = [*PHEYE, *map(str, words), "--checkpoint-steps", str(CHECKPOINT_STEPS)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PHEYE_")}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, start_new_session=True) as first:
        while len(read_journal(folder / "metrics.jsonl")) < KILL_AFTER:
            assert first.poll() is None, first.stderr and first.stderr.read().decode()
            time.sleep(0.05)
        os.killpg(first.pid, signal.SIGKILL)
    assert not (folder / "model").exists()
    second = subprocess.run([*command, "--resume"], env=environment, capture_output=True, text=True, timeout=300)
    assert second.returncode == 0, second.stderr
    assert second.stdout.strip() == str(folder / "model")
    assert f"step {STEPS} of {STEPS}" in second.stderr
    return folder


def test_a_killed_run_goes_on_along_the_same_curve(
    killed_and_resumed: Path, data: Path, start: Path, tmp_path: Path
) -> None:
    found = read_journal(killed_and_resumed / "metrics.jsonl")
    assert [report.done for report in found] == list(range(1, STEPS + 1))
    numbers = {"batch": 20, "micro_batch": 20}
    recipe = changed(RECIPES["finetune"], numbers, {"steps": STEPS, "learning_rate": 5e-3})
    whole = TrainingRun(
        StartingPoint(str(start)),
        read_data((data,), "0"),
        recipe,
        tmp_path,
        ComputeOptions(precision="float32", workers=0, threads=1),
    )
    some = list(islice(whole.steps(), KILL_AFTER + CHECKPOINT_STEPS))
    assert [report.loss for report in found[: len(some)]] == pytest.approx([report.loss for report in some], rel=1e-5)


def test_twenty_images_are_learned_by_heart_and_answered_so(
    killed_and_resumed: Path, data: Path, tmp_path: Path
) -> None:
    last = read_journal(killed_and_resumed / "metrics.jsonl")[-1]
    assert last.accuracy == 1.0
    answers = tmp_path / "answers.jsonl"
    words = [
        "--model",
        killed_and_resumed / "model",
        "--device",
        "cpu",
        "--threads",
        1,
        "--context-tokens",
        128,
        "--max-tokens",
        20,
    ]
    asked = pheye("ask", data.parent / "images", "What?", "--jsonl", answers, *words)
    assert asked.exit_code == 0, asked.output
    records = [json.loads(line) for line in answers.read_text().splitlines()]
    said = {int(Path(record["image"]).stem): record["answer"] for record in records}
    assert said == {index: answer(index) for index in range(20)}


def test_how_the_weights_were_made_and_how_it_went_stands_beside_them(killed_and_resumed: Path) -> None:
    record = json.loads((killed_and_resumed / "model" / "training.json").read_text())
    assert record["recipe"]["stages"][0]["steps"] == STEPS
    assert "--resume" in record["command"]
    assert record["commit"]
    with Image.open(killed_and_resumed / "training.png") as plot:
        assert plot.width > 500


def test_a_trained_model_is_fine_tuned_further_or_begun_anew(
    killed_and_resumed: Path, data: Path, tmp_path: Path
) -> None:
    losses = {}
    for name, fresh in (("on", []), ("anew", ["--fresh"])):
        words = ["--model", killed_and_resumed / "model", "--data", data, "--output", tmp_path / name, *HERE, *fresh]
        trained = pheye("train", *words, "--steps", 1, "--batch", 4, "--workers", 0, *MORE, *PLAIN)
        assert trained.exit_code == 0, trained.output
        losses[name] = read_journal(tmp_path / name / "metrics.jsonl")[0].loss
        assert (tmp_path / name / "model" / "checkpoint.pt").exists()
        record = json.loads((tmp_path / name / "model" / "training.json").read_text())
        assert record["before"] == json.loads((killed_and_resumed / "model" / "training.json").read_text())
    assert losses["on"] < 0.5
    assert losses["anew"] > 3


def test_a_model_goes_on_at_another_level_and_is_stored_so(
    killed_and_resumed: Path, data: Path, tmp_path: Path
) -> None:
    words = ["--model", killed_and_resumed / "model", "--data", data, "--output", tmp_path / "run", *HERE]
    trained = pheye("train", *words, "--level", 3, "--steps", 1, "--batch", 4, "--workers", 0, *PLAIN)
    assert trained.exit_code == 0, trained.output
    assert open_checkpoint(str(killed_and_resumed / "model")).config.level == 2
    finer = open_checkpoint(str(tmp_path / "run" / "model"))
    assert (finer.config.level, finer.config.tiles) == (3, 10)
    other = pheye("train", *words, "--level", 2, "--steps", 1, "--batch", 4, "--workers", 0, "--resume", *PLAIN)
    assert other.exit_code == 2
    assert "was begun with --level 3, not 2" in other.output


def test_the_model_of_an_unfinished_run_is_written_and_the_run_goes_on_after_it(
    start: Path, data: Path, tmp_path: Path
) -> None:
    words = ["--model", start, "--data", data, "--output", tmp_path / "run", *HERE, *PLAIN, "--workers", 0]
    words += ["--batch", 4, "--micro-batch", 4, "--steps", 3, "--learning-rate", 5e-3, "--checkpoint-steps", 1]
    early = pheye("train", *words, "--export")
    assert early.exit_code == 2
    assert early.stderr == f"pheye: --export: there is no checkpoint of this run in {tmp_path / 'run'}\n"
    numbers = {"batch": 4, "micro_batch": 4, "checkpoint_steps": 1}
    recipe = changed(RECIPES["finetune"], numbers, {"steps": 3, "learning_rate": 5e-3})
    compute = ComputeOptions(precision="float32", workers=0, threads=1)
    run = TrainingRun(StartingPoint(str(start)), read_data((data,), "0"), recipe, tmp_path / "run", compute)
    assert [report.done for report in islice(run.steps(), 3)][:2] == [1, 2]  # the third has no checkpoint yet
    exported = pheye("train", *words, "--export")
    assert exported.stdout.strip() == str(tmp_path / "run" / "model-2"), exported.output
    assert json.loads((tmp_path / "run" / "model-2" / "training.json").read_text())["steps_done"] == 2
    kept = load_file(tmp_path / "run" / "checkpoints" / "000000002" / "trained.safetensors")
    written = open_checkpoint(str(tmp_path / "run" / "model-2")).tensors
    assert all(torch.equal(written[name], tensor) for name, tensor in kept.items())
    again = pheye("train", *words, "--export", "--dtype", "bfloat16")
    assert f"{tmp_path / 'run' / 'model-2'} was there already and stays as it is; delete it" in again.stderr
    ended = pheye("train", *words, "--resume")
    assert ended.stdout.strip() == str(tmp_path / "run" / "model"), ended.output
    assert "was there already" not in ended.stderr
    assert "steps_done" not in json.loads((tmp_path / "run" / "model" / "training.json").read_text())


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--level", "4"], "level: 4 is not 2 or 3"),
        (["--recipe", "papers"], "recipe: there is no 'papers'; known are"),
        (["--steps", "3", "--epochs", "2"], "steps, epochs: only one of the two"),
        (["--export", "--dry-run"], "--export, --dry-run: only one of the two"),
        (["--data", "missing.jsonl"], "missing.jsonl: there is no such file"),
        (["--model", "nowhere/at all"], "nowhere/at all: there is no such folder; a model is a folder"),
    ],
    ids=["level", "recipe", "length", "export", "data", "model"],
)
def test_what_cannot_be_done_is_said_in_a_line(
    words: list[str], complaint: str, data: Path, start: Path, tmp_path: Path
) -> None:
    given = {"--model": start, "--data": data, "--output": tmp_path / "run"}
    rest = [word for name, value in given.items() if name not in words for word in (name, value)]
    refused = pheye("train", *rest, *words, *HERE)
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"pheye: {complaint}")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", [0, 1], ids=["here", "in a worker"])
def test_an_image_that_cannot_be_read_is_named_without_a_stack(workers: int, start: Path, tmp_path: Path) -> None:
    path = write_pictures(tmp_path / "pictures", count=1)
    (path.parent / "images" / "0.png").write_bytes(b"torn")
    words = ["--model", start, "--data", path, "--output", tmp_path / "run", "--batch", 1, "--workers", workers]
    refused = pheye("train", *words, *HERE)
    assert refused.exit_code == 2
    last = refused.stderr.splitlines()[-1]
    assert last.startswith(f"pheye: {path.parent / 'images' / '0.png'}: cannot be read as an image")
    assert "Traceback" not in refused.stderr


def test_without_the_packages_for_training_the_command_that_installs_them_is_named(
    start: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    for name in [name for name in sys.modules if name.startswith("model.training.")]:
        monkeypatch.delitem(sys.modules, name)
    refused = pheye("train", "--model", start, "--data", data, "--output", tmp_path / "run")
    assert refused.exit_code == 2
    assert "pip install 'pheye-service[train]'" in refused.stderr


def test_every_refusal_of_a_folder_says_what_resume_and_fresh_are_for(
    killed_and_resumed: Path, start: Path, data: Path, tmp_path: Path
) -> None:
    def refused(*more: object, manifest: Path = data, model: Path = start, output: Path = killed_and_resumed) -> str:
        given = ["train", "--model", model, "--data", manifest, "--output", output, *LEARN, *HERE, *more]
        done = pheye(*given)
        assert done.exit_code == 2, done.output
        return str(done.stderr)

    begun = "there is a run in it already, 90 steps long; add --resume to go on with it, or choose another --output"
    assert begun in refused()
    other = write_pictures(tmp_path / "other")
    other.write_text(other.read_text().replace("red", "pink"))
    for said, more in {
        "was begun with --batch 20, not 8": {"more": ["--batch", 8]},
        "was begun with 90 steps at 0.005, not 9 steps at 0.005": {"more": ["--steps", 9]},
        "was begun with other data (see --data": {"manifest": other},
        "was begun with [20] images to learn from, not [15]": {"more": ["--validation", "25%"]},
        "was begun with another model": {"model": killed_and_resumed / "model"},
        "was begun without --fresh": {"more": ["--fresh"]},
    }.items():
        words = refused("--resume", *more.pop("more", []), **more)
        assert said in words
        assert "--resume goes on with a run as it was begun" in words
        assert "--fresh is no way round: it begins the weights anew, not the folder" in words
    (tmp_path / "file").write_text("")
    assert "is a file; --output is the folder of the run" in refused(output=tmp_path / "file")
    (tmp_path / "served" / "model").mkdir(parents=True)
    assert "exists already, without a run to go on with" in refused(output=tmp_path / "served")


def test_numbers_that_have_become_useless_end_a_run_with_what_to_do(start: Path, data: Path, tmp_path: Path) -> None:
    words = ["--model", start, "--data", data, "--output", tmp_path / "run", "--batch", 2, "--workers", 0]
    failed = pheye("train", *words, *HERE, "--learning-rate", 1e30, "--steps", 5)
    assert failed.exit_code == 1
    assert "the gradient is nan; lower the learning rate or look at the data" in failed.stderr
    assert not (tmp_path / "run" / "model").exists()
