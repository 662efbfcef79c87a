"""The model under training computes what its naive twin computes, and exactly what is trained gets a gradient."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.checkpoint.random_tensors import RandomTensors
from model.config import PheyeConfig
from model.layout import is_trained, tensor_shapes
from model.reference.naive import NaivePheye
from model.training.batches import Loader, TrainingBatch
from model.training.learner import Learner, Passes, learns
from model.training.recipe import Parts, Recipe, Stage
from model.training.rows import NOTHING
from tests.support.small_model import SMALL, Pictures, small_checkpoint

Gradients = dict[str, Tensor]
CONFIGS = {
    "two adapters": SMALL,
    "one adapter": replace(SMALL, first_level=False),
    "every second layer": replace(SMALL, cross_interval=2),
    "narrow": replace(SMALL, reduce=2, level=3),
}


def random_tensors(config: PheyeConfig) -> dict[str, Tensor]:
    """Nothing is zero: every gradient shows."""
    return dict(RandomTensors(tensor_shapes(config, small_checkpoint(config).ranks)))


def learner(config: PheyeConfig = SMALL, passes: Passes | None = None, parts: Parts = "adapted") -> Learner:
    return Learner(config, small_checkpoint(config).ranks, random_tensors(config), passes, parts=parts)


def batch(config: PheyeConfig = SMALL, turns: int = 1, images: int = 3) -> TrainingBatch:
    recipe = Recipe("test", (Stage("I", 1.0, steps=1),), batch=images, micro_batch=images, turns_per_image=turns)
    return next(Loader(Pictures(), config, small_checkpoint().tokenizer, recipe).steps(0, 1))[0]


def gradients(learner: Learner, given: TrainingBatch) -> tuple[Tensor, Gradients]:
    loss, _ = learner(given)
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in learner.trained().items() if p.grad is not None}


def naive_gradients(config: PheyeConfig, given: TrainingBatch, parts: Parts = "adapted") -> tuple[Tensor, Gradients]:
    """With transformers and peft alone, a row for each turn."""
    naive = NaivePheye(config, small_checkpoint(config).ranks)
    naive.load_state_dict(random_tensors(config))
    if parts == "everything":  # before the adapters, whose gradients peft turns on itself
        naive.requires_grad_(True)
    features = naive.vision_encoder(naive.vision_encoder.pixels(given.tiles))
    for name, parameter in naive.named_parameters():  # peft's `set_adapter` has frozen the other adapter
        parameter.requires_grad_(learns(name, parts))
    logits = naive(given.ids, features)
    loss = F.cross_entropy(logits.flatten(0, 1), given.labels.flatten(), reduction="sum")
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in naive.named_parameters() if p.grad is not None}


def assert_same(ours: Gradients, theirs: Gradients) -> None:
    assert ours.keys() == theirs.keys()
    largest = max(float(each.norm()) for each in theirs.values())
    for name, gradient in ours.items():  # that of a bias of keys is zero, but for rounding
        assert (gradient - theirs[name]).norm() < 1e-4 * theirs[name].norm() + 1e-6 * largest, name


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
@pytest.mark.parametrize("parts", ["adapted", "everything"])
def test_loss_and_gradients_are_those_of_the_naive_twin(config: PheyeConfig, parts: Parts) -> None:
    given = batch(config)
    loss, ours = gradients(learner(config, parts=parts), given)
    expected, theirs = naive_gradients(config, given, parts)
    torch.testing.assert_close(loss, expected)
    assert_same(ours, theirs)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_every_trained_tensor_gets_a_gradient_and_no_other_does(config: PheyeConfig) -> None:
    one = learner(config)
    _, found = gradients(one, batch(config))
    names = {name for name in tensor_shapes(config, small_checkpoint(config).ranks) if is_trained(name)}
    unused = {name for name in names if ".norm_lvl_3." in name}  # every checkpoint has it, no model reads it
    assert found.keys() == names - unused
    assert all(gradient.abs().sum() > 0 for gradient in found.values())
    assert all(p.grad is None for name, p in one.pheye.named_parameters() if name not in found)


def test_turns_that_share_a_row_say_what_they_say_alone() -> None:
    one = learner()
    packed = batch(turns=3, images=1)
    alone = []
    for number in (1, 2, 3):
        own = (packed.turns[0] == 0) | (packed.turns[0] == number)
        row = TrainingBatch(packed.tiles, *(field[:, own] for field in packed[1:]))
        alone.append(one.logits(row._replace(turns=torch.ones_like(row.turns))))
    torch.testing.assert_close(one.logits(packed), torch.cat(alone), atol=1e-5, rtol=1e-5)


def test_gradients_of_a_packed_row_are_those_of_the_naive_twin_s_separate_rows() -> None:
    packed = batch(turns=3, images=2)
    rows = []
    for place in range(2):
        for number in (1, 2, 3):
            own = (packed.turns[place] == 0) | (packed.turns[place] == number)
            rows.append((packed.tiles[place], *(field[place, own] for field in packed[1:])))
    longest = max(len(row[1]) for row in rows)
    filled = [
        torch.stack([F.pad(row[field], (0, longest - len(row[field])), value=filling) for row in rows])
        for field, filling in ((1, 0), (2, 0), (3, -1), (4, NOTHING))
    ]
    separate = TrainingBatch(torch.stack([row[0] for row in rows]), *filled)
    loss, ours = gradients(learner(), packed)
    expected, theirs = naive_gradients(SMALL, separate)
    torch.testing.assert_close(loss, expected)
    assert_same(ours, theirs)


def test_recomputing_activations_changes_no_gradient() -> None:
    given = batch(turns=2)
    loss, kept = gradients(learner(), given)
    again, recomputed = gradients(learner(passes=Passes(recompute=True)), given)
    assert loss == again
    assert_same(recomputed, kept)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # of torch's tracer about itself
def test_compiled_layers_change_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    given = batch(turns=2)
    loss, plain = gradients(learner(), given)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager", fullgraph=True))
    again, compiled = gradients(learner(passes=Passes(compiled=True)), given)
    torch.testing.assert_close(loss, again)
    assert_same(compiled, plain)


def test_bfloat16_comes_close_and_keeps_what_is_trained_in_float32() -> None:
    given = batch(turns=2)
    exact, wanted = gradients(learner(), given)
    half = learner(passes=Passes(dtype=torch.bfloat16))
    loss, found = gradients(half, given)
    torch.testing.assert_close(loss, exact, rtol=0.02, atol=0)
    assert all(parameter.dtype == torch.float32 for parameter in half.trained().values())
    alike = [F.cosine_similarity(found[name].flatten(), wanted[name].flatten(), dim=0) for name in wanted]
    assert sum(alike) / len(alike) > 0.98


def test_right_tokens_are_counted_among_the_labels() -> None:
    one, given = learner(), batch()
    _, right = one(given)
    expected = (one.logits(given).argmax(-1) == given.labels[given.labels != NOTHING]).sum()
    assert right == expected


def test_a_row_does_not_feel_its_neighbours_padding() -> None:
    one = learner()
    given = batch(images=2)
    alone = [one(TrainingBatch(*(field[row : row + 1] for field in given)))[0] for row in (0, 1)]
    torch.testing.assert_close(one(given)[0], alone[0] + alone[1])
