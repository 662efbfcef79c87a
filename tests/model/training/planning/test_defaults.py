"""Defaults for one's own data suit the number of images, and warnings tell what is left."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from model.data.split import default_count
from model.training.planning.data import TrainingData, read_data
from model.training.planning.defaults import Asked, suited
from model.training.planning.plan import TrainingPlan
from model.training.recipe import RECIPES, Recipe, changed, with_steps
from tests.support.pages import PAGES
from tests.support.small_model import SMALL, write_pictures

FINETUNE = RECIPES["finetune"]


@pytest.mark.parametrize("images", [1, 10, 45, 300, 2_000, 20_000, 500_000])
def test_a_run_is_neither_a_few_steps_nor_an_endless_one(images: int) -> None:
    recipe = changed(FINETUNE, *suited(FINETUNE, images, images, width=2048))
    (stage,) = with_steps(recipe, [images])
    assert stage.epochs <= 20
    assert 4 <= recipe.batch <= 128
    assert (stage.steps or 0) >= min(100, 5 * images)
    assert stage.epochs == 1 or (stage.steps or 0) <= 320
    assert (recipe.batch == 128) == (images >= 640)


def test_a_batch_that_is_asked_for_is_kept_and_the_epochs_suit_it() -> None:
    whole, stage = suited(FINETUNE, 300, 900, 2048, Asked(batch=16))
    assert (whole["batch"], whole["turns_per_image"], stage["epochs"]) == (16, 3, 7)


@pytest.mark.parametrize(
    ("asked", "every"),
    [(Asked(steps=1000), 100), (Asked(steps=9000), 500), (Asked(epochs=1), 1), (Asked(epochs=40), 24)],
    ids=["steps", "many steps", "an epoch", "many epochs"],
)
def test_there_are_ten_checkpoints_in_as_many_steps_as_are_asked_for(asked: Asked, every: int) -> None:
    whole, _ = suited(FINETUNE, 48, 48, 2048, asked)
    assert whole["checkpoint_steps"] == every


def plan(data: TrainingData, recipe: Recipe) -> TrainingPlan:
    stages = tuple(with_steps(recipe, [data.images]))
    return TrainingPlan(stages, recipe, data, SMALL, 0, stages[0].steps or 0, 0, 0, 1, 1, "float32", "cpu")


@pytest.mark.parametrize(
    ("changes", "validation", "complaints"),
    [
        ({}, None, []),
        ({"epochs": 1}, None, ["4 steps of 4 images are too few to learn from; from about 30 on"]),
        ({"epochs": 100}, None, ["each image is seen 100 times"]),
        ({"learning_rate": 2e-3}, None, ["a learning rate of 0.002 is high"]),
        ({}, "0", ["no image is held out"]),
    ],
    ids=["defaults", "short", "long", "high", "no validation"],
)
def test_a_run_that_would_teach_nothing_or_spoil_the_model_is_warned_of_with_numbers(
    changes: dict, validation: str | None, complaints: list[str], tmp_path: Path
) -> None:
    data = read_data((write_pictures(tmp_path),), validation)
    whole, stage = suited(FINETUNE, data.images, data.turns, SMALL.decoder.width)
    found = list(plan(data, changed(FINETUNE, {**whole, "batch": 4}, {**stage, **changes})).warnings())
    assert len(found) == len(complaints)
    assert all(complaint in said for complaint, said in zip(complaints, found, strict=True))


def test_the_papers_batch_on_twenty_pictures_is_warned_of_with_a_batch_that_suits(tmp_path: Path) -> None:
    (few,) = plan(read_data((write_pictures(tmp_path),)), replace(FINETUNE)).warnings()
    assert few.startswith("1 step of 128 images are too few to learn from; from about 30 on")
    assert few.endswith("--batch 4 --epochs 8")


def test_the_page_has_the_defaults_for_some_sizes() -> None:
    rows = re.findall(
        r"^\| ([\d,]+) \(of ([\d,]+)\) \| (\d+) \| (\d+) \| (\d+) \|$", PAGES["docs/training.md"], re.MULTILINE
    )
    assert len(rows) == 6
    for images, of, *numbers in ([int(cell.replace(",", "")) for cell in row] for row in rows):
        recipe = changed(FINETUNE, *suited(FINETUNE, images, images, width=2048))
        (stage,) = with_steps(recipe, [images])
        assert images == of - default_count(of)
        assert numbers == [recipe.batch, stage.epochs, stage.steps]
