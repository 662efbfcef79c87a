"""A run from words: what precision it computes in, what it starts from, what it remembers of how it was made."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.checkpoint.checkpoint import open_checkpoint
from model.checkpoint.sources import CheckpointError
from model.layout import is_trained
from model.training import compute as compute_module
from model.training.compute import ComputeOptions, passes_of, workers_of
from model.training.planning.data import read_data
from model.training.recipe import RECIPES, changed
from model.training.run import StartingPoint, TrainingRun
from tests.support.small_model import small_folder, write_pictures

RECIPE = changed(RECIPES["finetune"], {"batch": 2, "micro_batch": 2, "seed": 5}, {"steps": 1, "learning_rate": 1e-3})
COMPUTE = ComputeOptions(precision="float32", workers=0, threads=1)


@pytest.fixture
def start(tmp_path: Path) -> Path:
    return small_folder(tmp_path / "start")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "data", count=4)


def trained(start: StartingPoint, data: Path, output: Path, compute: ComputeOptions = COMPUTE) -> Path:
    run = TrainingRun(start, read_data((data,), "0"), RECIPE, output, compute)
    assert [report.done for report in run.steps()] == [1]
    return run.finish()


def test_frozen_tensors_leave_a_run_as_they_came_whatever_it_computed_in(
    start: Path, data: Path, tmp_path: Path
) -> None:
    folder = trained(
        StartingPoint(str(start)), data, tmp_path / "run", ComputeOptions(precision="bfloat16", workers=0, threads=1)
    )
    before, after = (open_checkpoint(str(each)).tensors for each in (start, folder))
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]) or is_trained(name), name
    changes = [name for name, tensor in before.items() if not torch.equal(tensor, after[name])]
    assert any(".lora_B.second." in name for name in changes)
    assert any(".cross_attn_layer.attn.to_kv." in name for name in changes)


def test_a_recipe_may_train_everything(start: Path, data: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, parts="everything")
    run = TrainingRun(StartingPoint(str(start)), read_data((data,), "0"), recipe, tmp_path / "run", COMPUTE)
    assert [report.done for report in run.steps()] == [1]
    before, after = (open_checkpoint(str(each)).tensors for each in (start, run.finish()))
    same = [name for name, old in before.items() if not is_trained(name) and torch.equal(old, after[name])]
    assert all(".post_layernorm." in name for name in same), "which nothing reads"


def test_a_fresh_start_forgets_what_was_trained(start: Path, data: Path, tmp_path: Path) -> None:
    once = trained(StartingPoint(str(start)), data, tmp_path / "once")
    anew, on = (trained(StartingPoint(str(once), fresh=fresh), data, tmp_path / str(fresh)) for fresh in (True, False))
    name = "vision_encoder.norm_lvl_2.bias"
    moved = {folder: open_checkpoint(str(folder)).tensors[name].abs().max() for folder in (anew, on)}
    assert moved[on] > 1.5 * moved[anew]


def test_what_was_typed_and_chosen_stands_in_the_record(start: Path, data: Path, tmp_path: Path) -> None:
    record = json.loads((trained(StartingPoint(str(start)), data, tmp_path / "run") / "training.json").read_text())
    assert record["began"] == {"model": str(start), "revision": None, "fresh": False, "level": None}
    assert record["data"] == [str(data)]
    assert (record["recipe"]["name"], record["recipe"]["seed"]) == ("finetune", 5)


@pytest.mark.parametrize(
    ("has_bf16", "dtype"), [(True, torch.bfloat16), (False, torch.float32)], ids=["with", "without"]
)
def test_precision_is_bfloat16_where_the_hardware_multiplies_it(
    has_bf16: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute_module, "multiplies_bf16", lambda _: has_bf16)
    assert passes_of(ComputeOptions()).dtype == dtype


def test_a_precision_that_is_none_is_refused() -> None:
    with pytest.raises(CheckpointError, match="precision: 'int8' is not one of auto, float32, bfloat16"):
        passes_of(ComputeOptions(precision="int8"))


@pytest.mark.parametrize(
    ("gpu", "processes", "asked", "workers"),
    [(False, 1, None, 1), (True, 1, None, 15), (True, 2, None, 7), (True, 1, 0, 0)],
    ids=["cpu", "gpu", "two gpus", "as asked"],
)
def test_images_are_prepared_ahead_on_every_core_beside_a_gpu(
    gpu: bool, processes: int, asked: int | None, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(compute_module, "usable_cores", lambda: 16)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    assert workers_of(ComputeOptions(workers=asked)) == workers
