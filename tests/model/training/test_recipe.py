"""Recipes: the paper's numbers, changes, and what is refused."""

from __future__ import annotations

import pytest

from model.training.recipe import RECIPES, Recipe, RecipeError, Stage, changed, learning_rate, named_recipe


def test_the_paper_s_recipe_is_the_paper_s() -> None:
    paper = named_recipe("paper")
    assert [(stage.name, stage.learning_rate) for stage in paper.stages] == [("I", 2e-4), ("II", 1e-4), ("III", 5e-5)]
    assert (paper.batch, paper.turns_per_image) == (128, 1)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=f"there is no 'papers'; known are {', '.join(RECIPES)}"):
        named_recipe("papers")


@pytest.mark.parametrize(
    ("whole", "stage", "complaint"),
    [
        ({"batch": 0}, {}, "batch: 0 is not a positive whole number"),
        ({"warm_up": 1.0}, {}, "warm_up: 1.0 is not a share from 0 up to 1"),
        ({}, {"learning_rate": 0.0}, "learning_rate: 0.0 is not a positive number"),
        ({}, {"epochs": -1.0}, "epochs: -1.0 is not a positive number"),
        ({}, {"epochs": 1.0, "steps": 5}, "steps, epochs: only one of the two"),
        ({}, {"learning_rate": float("inf")}, "learning_rate: inf is not a positive number"),
        ({}, {"epochs": float("inf")}, "epochs: inf is not a positive number"),
        ({"seed": -1}, {}, "seed: -1 is not a whole number from 0 to 9223372036854775807"),
        ({"seed": 2**63}, {}, "seed: 9223372036854775808 is not a whole number from 0 to"),
    ],
    ids=[
        "no batch",
        "all warm-up",
        "no rate",
        "negative epochs",
        "both lengths",
        "endless rate",
        "endless epochs",
        "seed",
        "seed too large",
    ],
)
def test_values_that_cannot_be_used_are_refused(
    whole: dict[str, float], stage: dict[str, float], complaint: str
) -> None:
    with pytest.raises(RecipeError, match=complaint):
        changed(RECIPES["paper"], whole, stage)


def test_epochs_asked_for_replace_a_stage_s_number_of_steps() -> None:
    short = Recipe("short", (Stage("I", 1e-3, steps=10),))
    assert changed(short, {}, {"epochs": 2.0}).stages == (Stage("I", 1e-3, None, 2.0),)


def test_the_rate_rises_to_its_height_once_and_falls_to_nearly_nothing() -> None:
    stage = Stage("I", 2e-4)
    rates = [learning_rate(stage, step, 1000, 0.03) for step in range(1000)]
    top = rates.index(max(rates))
    assert rates[top] == stage.learning_rate
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] < 1e-8
