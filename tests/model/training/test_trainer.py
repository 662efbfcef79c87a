"""The loop: one batch however it is divided, a run however often it is interrupted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from model.data.manifest import read_manifest
from model.data.samples import ENDLESS, Sample
from model.training.artifacts.journal import (
    ValidationReport,
    read_journal,
    read_validations,
)
from model.training.artifacts.snapshot import SnapshotError
from model.training.gradient_step import TrainingError
from model.training.learner import Learner, Passes
from model.training.optimizers import Optimizer
from model.training.recipe import Recipe, RecipeError, Stage, learning_rate
from model.training.trainer import Data, Trainer
from tests.support.small_model import Pictures, small_checkpoint, write_pictures

RECIPE = Recipe("test", (Stage("I", 1e-3, steps=4),), batch=4, micro_batch=4, turns_per_image=2, clip=1e9)
STAGES = (Stage("I", 2e-3, steps=3), Stage("II", 1e-3, steps=3))


class Stopped(Exception):
    """An error raised in place of an optimizer's step."""


class Unending(Pictures):
    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Sample:
        return super().__getitem__(index % 20)


def trainer(
    folder: Path, recipe: Recipe = RECIPE, *, resume: bool = False, sources: int = 1, endless: bool = False
) -> Trainer:
    own = small_checkpoint()
    source = Unending() if endless else Pictures()
    learner = Learner(own.config, own.ranks, own.tensors)
    return Trainer(learner, own.config, Data([source] * sources, own.tokenizer), recipe, folder, resume=resume)


def validated(folder: Path, *, resume: bool = False, patience: int = 0, total: int = 3) -> Trainer:
    """A trainer that holds four pictures out."""
    own = small_checkpoint()
    learner = Learner(own.config, own.ranks, own.tensors)
    held = read_manifest(folder.parent / "held" / "manifest.jsonl")
    data = Data([Pictures()], own.tokenizer, validation=held, patience=patience)
    recipe = replace(RECIPE, stages=(Stage("I", 1e-3, steps=total),), micro_batch=2)
    return Trainer(learner, own.config, data, recipe, folder, resume=resume)


def first_gradients(trainer: Trainer) -> dict[str, Tensor]:
    """Collect what the optimizer is given at the first step."""
    found = {}

    def stop(_: Optimizer, rate: float) -> None:
        found.update({name: p.grad.clone() for name, p in trainer.learner.trained().items() if p.grad is not None})
        raise Stopped

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Optimizer, "step", stop)
        with pytest.raises(Stopped):
            next(trainer.run())
    return found


def assert_close(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    assert len(ours) > 20
    for name, gradient in ours.items():
        torch.testing.assert_close(
            gradient, theirs[name], atol=1e-7, rtol=1e-4, msg=lambda text, name=name: name + text
        )


@pytest.mark.parametrize("micro_batch", [1, 3], ids=["one by one", "unequal parts"])
def test_accumulation_over_uneven_lengths_gives_the_gradients_of_one_big_batch(
    tmp_path: Path, micro_batch: int
) -> None:
    whole = first_gradients(trainer(tmp_path / "whole"))
    parts = first_gradients(trainer(tmp_path / "parts", replace(RECIPE, micro_batch=micro_batch)))
    assert_close(parts, whole)


def test_the_mean_is_over_output_tokens_and_not_over_rows(tmp_path: Path) -> None:
    one = trainer(tmp_path)
    batches = next(one.loader(0).steps(0, 1))
    loss, _ = one.learner(batches[0])
    loss.backward()
    expected = {
        name: p.grad / batches[0].output_tokens for name, p in one.learner.trained().items() if p.grad is not None
    }
    assert_close(first_gradients(trainer(tmp_path)), expected)


def test_two_processes_have_the_gradients_and_the_curve_of_one(tmp_path: Path) -> None:
    write_pictures(tmp_path / "held", count=3)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*command, "tests.support.two_processes", str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert_close(load_file(tmp_path / "gradients.safetensors"), first_gradients(trainer(tmp_path / "one")))
    two, one = read_journal(tmp_path / "run" / "metrics.jsonl"), list(trainer(tmp_path / "alone").run())
    assert [report.output_tokens for report in two] == [report.output_tokens for report in one]
    assert [report.loss for report in two] == pytest.approx([report.loss for report in one], rel=1e-3)
    two, one = (
        read_validations(tmp_path / "validated" / "metrics.jsonl"),
        validated(tmp_path / "alone-too", total=2).run(),
    )
    one = [report for report in one if isinstance(report, ValidationReport)]
    assert [(report.done, report.images, report.answers) for report in two] == [(0, 3, 3), (1, 3, 3), (2, 3, 3)]
    assert [report.loss for report in two] == pytest.approx([report.loss for report in one], rel=1e-3)


def test_a_run_stopped_anywhere_goes_on_to_the_same_end(tmp_path: Path) -> None:
    recipe = replace(RECIPE, stages=STAGES, checkpoint_steps=2)
    whole = trainer(tmp_path / "whole", recipe)
    expected = list(whole.run())
    for stop in (1, 3, 5, None):
        parts = trainer(tmp_path / "parts", recipe, resume=True)
        list(islice(parts.run(), stop))
    found = read_journal(tmp_path / "parts" / "metrics.jsonl")
    assert [replace(report, images_per_s=0) for report in found] == [replace(each, images_per_s=0) for each in expected]
    ours, theirs = parts.learner.trained(), whole.learner.trained()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_only_what_is_trained_changes(tmp_path: Path) -> None:
    own, one = small_checkpoint(), trainer(tmp_path)
    list(one.run())
    trained = one.learner.trained().keys()
    for name, parameter in one.learner.pheye.named_parameters():
        assert torch.equal(parameter, own.tensors[name]) == (name not in trained), name


def test_reports_tell_stage_step_and_rate(tmp_path: Path) -> None:
    recipe = replace(RECIPE, stages=STAGES)
    reports = list(trainer(tmp_path, recipe).run())
    assert [(each.done, each.total, each.stage, each.step) for each in reports] == [
        (done, 6, stage, step)
        for done, (stage, step) in enumerate([(s, n) for s in ("I", "II") for n in (1, 2, 3)], start=1)
    ]
    rates = [learning_rate(stage, step, 3, recipe.warm_up) for stage in STAGES for step in range(3)]
    assert [each.learning_rate for each in reports] == rates


def test_gradients_are_clipped_and_reported_as_they_were(tmp_path: Path) -> None:
    free = first_gradients(trainer(tmp_path / "free"))
    clipped = first_gradients(trainer(tmp_path / "clipped", replace(RECIPE, clip=0.01)))
    norm = torch.stack([gradient.norm() for gradient in clipped.values()]).norm()
    assert norm == pytest.approx(0.01, rel=1e-3)
    report = next(trainer(tmp_path / "again", replace(RECIPE, clip=0.01)).run())
    assert report.gradient_norm == pytest.approx(float(torch.stack([g.norm() for g in free.values()]).norm()))


def test_a_gradient_that_is_not_finite_ends_the_run_with_its_step(tmp_path: Path) -> None:
    one = trainer(tmp_path)
    with torch.no_grad():
        next(iter(one.learner.trained().values())).fill_(float("nan"))
    with pytest.raises(TrainingError, match="step 1: the gradient is nan"):
        next(one.run())


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # torch.compile warns of its own code
def test_layers_that_cannot_be_compiled_end_the_run_with_what_to_do(tmp_path: Path, monkeypatch) -> None:
    def failing(*_: object) -> None:
        raise RuntimeError("no compiler was found\nCommand: g++ ...")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=failing))
    own = small_checkpoint()
    learner = Learner(own.config, own.ranks, own.tensors, Passes(compiled=True))
    one = Trainer(learner, own.config, Data([Pictures()], own.tokenizer), RECIPE, tmp_path)
    with pytest.raises(TrainingError, match=r"^--compile: .*no compiler was found.*\); train without it$"):
        next(one.run())


@pytest.mark.parametrize(
    ("sources", "endless", "second"), [(1, False, 3), (2, False, 0), (2, True, 3)], ids=["one", "two", "two streams"]
)
def test_a_stage_reads_on_unless_it_has_images_of_its_own(
    tmp_path: Path, sources: int, endless: bool, second: int
) -> None:
    one = trainer(tmp_path, replace(RECIPE, stages=STAGES), sources=sources, endless=endless)
    assert [one.first_read(number) for number in (0, 1)] == [0, second]


def test_a_stage_without_a_number_of_steps_lasts_as_many_epochs_as_it_says(tmp_path: Path) -> None:
    stages = (Stage("I", 1e-3), Stage("II", 1e-3, epochs=2.5))
    assert trainer(tmp_path, replace(RECIPE, stages=stages)).total == 5 + 12


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"sources": 2}, "2 sources for 1 stages; give one, or one for each stage"),
        ({"endless": True, "recipe": replace(RECIPE, stages=(Stage("I", 1e-3),))}, "its data have no end"),
    ],
    ids=["sources", "endless"],
)
def test_a_recipe_that_does_not_fit_the_data_is_refused(tmp_path: Path, changes: dict, complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint):
        trainer(tmp_path, **changes)


def test_a_folder_with_a_run_is_only_used_to_go_on_with_it(tmp_path: Path) -> None:
    list(trainer(tmp_path).run())
    with pytest.raises(SnapshotError, match="there is a run in it already"):
        trainer(tmp_path)
    with pytest.raises(SnapshotError, match=r"the run in it was begun with --batch 4, not 8\. --resume goes on"):
        trainer(tmp_path, replace(RECIPE, batch=8), resume=True)
    assert trainer(tmp_path, replace(RECIPE, micro_batch=1, checkpoint_steps=3), resume=True).done == 4


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"fingerprint": "other"}, "begun with another model"),
        ({"count": 19}, r"begun with \[20\] images to learn from, not \[19\]"),
    ],
    ids=["model", "data"],
)
def test_a_run_does_not_go_on_with_another_model_or_other_data(tmp_path: Path, changes: dict, complaint: str) -> None:
    def opened(count: int = 20, fingerprint: str = "same", *, resume: bool) -> Trainer:
        own = small_checkpoint()
        data = Data([Pictures(count)], own.tokenizer, fingerprint)
        return Trainer(Learner(own.config, own.ranks, own.tensors), own.config, data, RECIPE, tmp_path, resume=resume)

    list(opened(resume=False).run())
    assert opened(resume=True).done == 4
    with pytest.raises(SnapshotError, match=complaint):
        opened(resume=True, **changes)


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path) -> None:
    list(trainer(tmp_path).run())
    assert list(trainer(tmp_path, resume=True).run()) == []


def test_a_run_of_a_version_that_wrote_less_down_goes_on_as_it_was_begun(tmp_path: Path) -> None:
    list(islice(trainer(tmp_path, replace(RECIPE, checkpoint_steps=2)).run(), 3))
    place = next((tmp_path / "checkpoints").glob("*/place.json"))
    assert json.loads(place.read_text())["began"].keys() == {"model", "level", "samples"}  # as every version wrote it

    def newer(rehearsal: str | None) -> Trainer:
        own = small_checkpoint()
        began = {"data": "new", "validation": None, "rehearsal": rehearsal, "fresh": False}
        learner = Learner(own.config, own.ranks, own.tensors)
        recipe = replace(RECIPE, stages=(replace(RECIPE.stages[0], epochs=20),))  # its steps are what counts
        return Trainer(
            learner, own.config, Data([Pictures()], own.tokenizer, began=began), recipe, tmp_path, resume=True
        )

    with pytest.raises(SnapshotError, match="was begun with --rehearse none, not signs"):
        newer("signs")
    assert [report.done for report in newer(None).run()] == [3, 4]


def test_one_sample_in_four_is_of_the_rehearsal(tmp_path: Path) -> None:
    own = small_checkpoint()
    data = Data([Pictures(6)], own.tokenizer, rehearsal=Unending())
    recipe = replace(RECIPE, stages=(Stage("I", 1e-3, epochs=2),), batch=4)
    one = Trainer(Learner(own.config, own.ranks, own.tensors), own.config, data, recipe, tmp_path)
    assert one.total == 4
    draws = [draw for step in range(one.total) for each in one.loader(0).draws(step) for draw in each]
    assert [draw.index for draw in draws if draw.rehearsed] == [0, 1, 2, 3]
    assert sorted(draw.index for draw in draws if not draw.rehearsed) == sorted([*range(6), *range(6)])
    assert len(list(one.run())) == 4
