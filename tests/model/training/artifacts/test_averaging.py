"""Averages of models: computed rightly, served like any model, and refused where they make no sense."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from model.checkpoint.checkpoint import open_checkpoint, random_checkpoint, random_config
from model.checkpoint.sources import CheckpointError
from model.layout import is_trained
from model.training.artifacts.averaging import Ingredient, average
from model.training.artifacts.export import Trained, export
from model.training.planning.data import rehearsal_of
from service.cli.main import app


def written(folder: Path, shift: float, geometry: str = "pheye-micro") -> Path:
    """Write a model whose trained tensors lie `shift` from those of the start."""
    start = random_checkpoint(random_config(geometry))
    tensors = {name: start.tensors[name].float() + (shift if is_trained(name) else 0.0) for name in start.tensors}
    record = {"data": ["signs"], "shift": shift}
    export(Trained(start.config, start.ranks, tensors, start.tokenizer, record), folder, "float32")
    return folder


def test_trained_tensors_are_the_weighted_mean_and_frozen_ones_stay_as_they_are(tmp_path: Path) -> None:
    start, far = written(tmp_path / "start", 0.0), written(tmp_path / "far", 1.0)
    words = [f"{start}=0.25", f"{far}=0.75", "--output", str(tmp_path / "mean")]
    done = CliRunner().invoke(app, ["dev", "average", *words])
    assert (done.exit_code, done.output.strip()) == (0, str(tmp_path / "mean"))
    mean, begun = open_checkpoint(str(tmp_path / "mean")), open_checkpoint(str(start))
    for name, tensor in mean.tensors.items():
        torch.testing.assert_close(tensor, begun.tensors[name] + (0.75 if is_trained(name) else 0.0))
        assert is_trained(name) or torch.equal(tensor, begun.tensors[name])
    record = json.loads((tmp_path / "mean/training.json").read_text())
    assert [(each["share"], each["training"]["shift"]) for each in record["averaged"]] == [(0.25, 0.0), (0.75, 1.0)]
    assert rehearsal_of(record) == "signs"


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ([("far", 0.6)], "the shares add up to 1.1"),
        ([("large", 0.5)], "its geometry differs"),
        ([("nowhere", 0.5)], "nowhere"),
    ],
)
def test_what_makes_no_average_is_refused_before_anything_is_written(
    tmp_path: Path, others: list[tuple[str, float]], words: str
) -> None:
    start = written(tmp_path / "start", 0.0)
    written(tmp_path / "far", 1.0)
    written(tmp_path / "large", 0.0, "pheye-tiny")
    ingredients = [Ingredient(str(start), 0.5), *(Ingredient(str(tmp_path / name), share) for name, share in others)]
    with pytest.raises((CheckpointError, ValueError), match=words):
        average(ingredients, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


@pytest.mark.parametrize("text", ["model", "=0.5", "model=", "model=half", "model=0", "model=1.5", "model=nan"])
def test_a_model_without_a_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected MODEL=SHARE"):
        Ingredient.parse(text)
