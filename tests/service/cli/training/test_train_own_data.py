"""`pheye train` on one's own data: planned, validated, stopped by a signal, resumed, and compared with its start."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import pytest
import torch

from model.training.artifacts.journal import read_validations
from model.training.batches import TrainingBatch
from model.training.gradient_step import GradientStep
from model.training.run import TrainingRun
from model.training.validation.validator import ValidationSums, Validator
from service.cli.stop_signals import StopSignals
from tests.service.cli.training.test_train import HERE, pheye
from tests.support.pages import blocks
from tests.support.small_model import small_folder, write_pictures


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data") / "pictures")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_folder(tmp_path_factory.mktemp("start") / "model")


VALIDATED = ["--epochs", 2, "--batch", 4, "--workers", 0, "--learning-rate", 5e-3, *HERE]


@pytest.fixture
def signalled(monkeypatch: pytest.MonkeyPatch) -> Callable[[signal.Signals], None]:
    """Send this process a signal in the middle of the next run's fourth step."""

    def send(number: signal.Signals) -> None:
        real, steps = GradientStep.accumulate, []

        def accumulate(step: GradientStep, batches: Sequence[TrainingBatch]) -> tuple[float, int, int]:
            steps.append(1)
            if len(steps) == 4:
                signal.raise_signal(number)
            return real(step, batches)

        monkeypatch.setattr(GradientStep, "accumulate", accumulate)

    return send


def test_a_run_of_own_data_is_planned_validated_stopped_and_gone_on_with(
    start: Path,
    data: Path,
    tmp_path: Path,
    signalled: Callable[[signal.Signals], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["train", "--model", start, "--data", data, "--output", tmp_path / "run", *VALIDATED]
    monkeypatch.setattr(sys, "argv", ["/any/where/pheye", *map(str, words)])
    monkeypatch.setattr("model.training.validation.validations._TIMES", 4)
    with monkeypatch.context() as busy:
        busy.setattr(os, "getloadavg", lambda: (3.2 * (os.cpu_count() or 1), 1.0, 1.0))
        planned = pheye(*words, "--dry-run")
    assert planned.exit_code == 0, planned.output
    assert "15 images, 15 turns" in planned.stderr
    assert "5 images that it does not learn from, before and after every 2 steps" in planned.stderr
    assert "8 of 4 images, 4 at once, each image 2.13 times" in planned.stderr
    assert re.search(r"time  about \d+ s: \d+\.\d s a step, \d+\.\d s a validation, measured here", planned.stderr)
    assert "this machine is busy: " in planned.stderr
    assert "warning: 8 steps of 4 images are too few to learn from" in planned.stderr
    assert not (tmp_path / "run").exists()
    before = signal.getsignal(signal.SIGTERM)
    signalled(signal.SIGTERM)
    stopped = pheye(*words)
    assert stopped.exit_code == 143
    assert "stopped by SIGTERM with a checkpoint after step 3 of 8" in stopped.stderr
    command = shlex.split(stopped.stderr.rpartition("goes on from there: ")[2])
    assert command == ["pheye", *map(str, words), "--resume"]
    assert signal.getsignal(signal.SIGTERM) == before
    assert not (tmp_path / "run" / "model").exists()
    done = pheye(*command[1:])
    assert done.exit_code == 0, done.output
    assert "validation after step 8: exact match" in done.stderr
    assert re.search(
        r"exact match \d+ % before, now \d+ % \(after step \d+\); loss .*on 5 held-out images", done.stderr
    )
    assert "5 held-out images are few: each is 20 % of the score, and if all are right, up to 45 %" in done.stderr
    assert f"pheye serve --model {tmp_path / 'run' / 'model'}" in done.stderr
    reports = read_validations(tmp_path / "run" / "metrics.jsonl")
    assert [report.done for report in reports] == [0, 2, 4, 6, 8]
    record = json.loads((tmp_path / "run" / "model" / "training.json").read_text())
    assert record["validation"]["best"]["loss"] == min(report.loss for report in reports[1:])
    again = pheye(*command[1:])
    assert (again.exit_code, again.stdout) == (0, done.stdout)


def test_a_second_ctrl_c_ends_a_run_at_once() -> None:
    asked = []
    with StopSignals(lambda: asked.append(1)) as signals:
        signal.raise_signal(signal.SIGINT)
        assert (asked, signals.exit_code, signals.name) == ([1], 130, "SIGINT")
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_before_a_run_has_begun_says_how_to_go_on(
    start: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingRun, "__init__", interrupted)
    stopped = pheye("train", "--model", start, "--data", data, "--output", tmp_path / "run", *HERE)
    assert stopped.exit_code == 130
    assert "interrupted; this goes on from the last checkpoint: pheye" in stopped.stderr


def test_a_model_that_got_no_better_is_called_so(
    start: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([1.0, *[2.0] * 20])
    monkeypatch.setattr(Validator, "_sums", lambda *_: ValidationSums(next(losses), 1, 1, 0, 0, 1))
    words = ["--model", start, "--data", data, "--output", tmp_path / "run", "--steps", 1, "--micro-batch", 8]
    done = pheye("train", *words, "--batch", 4, "--workers", 0, *HERE)
    assert done.exit_code == 0, done.output
    assert f"the trained model is no better than {start}, which it started from: keep that one" in done.stderr


def test_the_pictures_of_the_page_are_fifty_with_captions(tmp_path: Path) -> None:
    (script,) = blocks("py")
    subprocess.run([sys.executable, "-c", script.text], cwd=tmp_path, check=True)
    lines = (tmp_path / "captions.txt").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert len(set(lines)) == 50


def test_a_run_that_memory_is_too_small_for_says_what_takes_less(
    start: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> NoReturn:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore words")

    monkeypatch.setattr(GradientStep, "one_pass", full)
    done = pheye("train", "--model", start, "--data", data, "--output", tmp_path / "run", *VALIDATED)
    assert done.exit_code == 1, done.output
    assert "pheye: memory ran out (CUDA out of memory. Tried to allocate 2.00 GiB.); with a smaller" in done.stderr
    assert "--micro-batch, or --gradient-checkpointing" in done.stderr
    assert "More words" not in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--epochs", "inf"], "epochs: inf is not a positive number"),
        (["--epochs", "nan"], "epochs: nan is not a positive number"),
        (["--learning-rate", "inf"], "learning_rate: inf is not a positive number"),
        (["--seed", "-1"], "seed: -1 is not a whole number from 0 to 9223372036854775807"),
        (
            ["--patience", "3", "--validation", "0"],
            "--patience: no image is held out, so nothing tells when to stop; add --validation 20% or a manifest",
        ),
    ],
    ids=" ".join,
)
def test_options_that_cannot_be_used_are_refused_before_the_model_is_read(
    words: list[str], told: str, start: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.training.run.open_checkpoint", lambda *_: pytest.fail("the model was read"))
    done = pheye("train", "--model", start, "--data", data, "--output", tmp_path / "run", *words)
    assert (done.exit_code, done.stderr) == (2, f"pheye: {told}\n")
