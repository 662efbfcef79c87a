"""The checks of correctness: they pass on a CPU in every variant, and each can fail."""

from __future__ import annotations

import pytest
import torch

from model.bench.gpu import kernels, variants
from model.bench.gpu.checks import equal, golden, probabilities, sampled, twin
from model.bench.gpu.checks.subjects import MICRO
from model.bench.gpu.item import PartInput
from model.bench.gpu.variants import EAGER, VARIANTS, DecodeVariant
from model.runtime.runner import ModelRunner
from tests.support.golden import OWN_GOLDEN

CPU, FP32 = torch.device("cpu"), torch.float32
in_every_variant = pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)


@in_every_variant
def test_golden_cases_are_answered_token_for_token(variant: DecodeVariant) -> None:
    found = golden.golden(OWN_GOLDEN / "x2-l2", CPU, variant)
    assert found["verdict"] == "passed"
    assert found["equal_rows"] == found["rows"] == 18


@in_every_variant
@pytest.mark.parametrize("dtype", [FP32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_the_twin_agrees_within_the_bounds(variant: DecodeVariant, dtype: torch.dtype) -> None:
    assert twin.against_the_twin(MICRO, CPU, dtype, variant)["verdict"] == "passed"


@in_every_variant
def test_a_staggered_crowd_answers_as_if_alone(variant: DecodeVariant) -> None:
    assert equal.crowd_is_alone(MICRO, CPU, variant)["verdict"] == "passed"


@pytest.mark.parametrize("by_steps", [True, False], ids=["by steps", "one by one"])
def test_tokens_are_drawn_as_on_the_host(*, by_steps: bool) -> None:
    found = sampled.sampled(CPU, 3.0, by_steps=by_steps)
    assert (found["verdict"], found["broken_row"]) == ("passed", None)


@in_every_variant
def test_probabilities_are_a_cpus(variant: DecodeVariant) -> None:
    assert probabilities.probabilities_as_cpu(CPU, variant)["verdict"] == "passed"


def test_a_wrong_log_probability_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = probabilities._told
    monkeypatch.setattr(probabilities, "_told", lambda device, variant: right(device, variant) + (variant != EAGER) / 9)
    assert probabilities.probabilities_as_cpu(CPU, VARIANTS[0])["verdict"] == "failed"


def spoil(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """Let a runner say something else in batches of this size."""
    right = ModelRunner.decode

    def wrong(runner: ModelRunner, slots: list[int]) -> list[int | None]:
        tokens = right(runner, slots)
        return [None if token is None else (token + 1) % 100 for token in tokens] if len(slots) == batch else tokens

    monkeypatch.setattr(ModelRunner, "decode", wrong)


def test_a_wrong_token_fails_the_golden_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, batch=2)  # the last two of eighteen
    found = golden.golden(OWN_GOLDEN / "x2-l2", CPU, EAGER)
    assert (found["verdict"], found["equal_rows"]) == ("failed", 16)
    assert found["first_difference"].startswith("row 16, token 1")


def test_a_wrong_token_costs_more_than_the_twin_allows_even_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, batch=twin.QUESTIONS * twin.IMAGES)
    found = twin.against_the_twin(MICRO, CPU, torch.bfloat16, EAGER)
    assert found["verdict"] == "failed"
    assert found["found"] > found["bound"]


def test_what_a_crowd_changes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, batch=3)
    assert equal.crowd_is_alone(MICRO, CPU, EAGER)["verdict"] == "failed"


def test_a_step_is_taken_apart_into_what_it_ran() -> None:
    items = {item.name: item for item in kernels.items(PartInput("cpu", (MICRO,)))}
    found = items["decode eager, projected 1"].run()
    assert found["launches"] > 100
    assert found["kernels"][0]["device_ms"] >= found["kernels"][-1]["device_ms"] >= 0
    assert found["wall_ms"] > 0


def test_every_variant_is_told_apart_by_its_name() -> None:
    assert len({variant.name for variant in variants.VARIANTS}) == 4
