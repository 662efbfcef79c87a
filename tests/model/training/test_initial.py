"""New tensors leave the language model as it was, and are the same for the same seed."""

from __future__ import annotations

import torch

from model.layout import is_trained, tensor_shapes
from model.training.initial import initial_tensors
from model.training.learner import Learner
from model.training.passes.vision import under
from tests.model.training.test_learner import batch
from tests.support.small_model import RANKS, SMALL, small_checkpoint


def test_every_trained_tensor_begins_with_its_shape_and_no_other_does() -> None:
    shapes = {name: shape for name, shape in tensor_shapes(SMALL, RANKS).items() if is_trained(name)}
    assert {name: tuple(tensor.shape) for name, tensor in initial_tensors(SMALL, RANKS, 0).items()} == shapes


def test_a_seed_gives_the_same_tensors_and_another_one_others() -> None:
    one, again, other = (initial_tensors(SMALL, RANKS, seed) for seed in (1, 1, 2))
    name = "lang_encoder.model.layers.0.cross_attn_layer.attn.to_q.weight"
    assert all(torch.equal(tensor, again[key]) for key, tensor in one.items())
    assert not torch.equal(one[name], other[name])


def test_output_matrices_start_closer_to_zero_than_others() -> None:
    block = under(initial_tensors(SMALL, RANKS, 0), "lang_encoder.model.layers.1.cross_attn_layer.")
    assert 0.008 < block["attn.to_q.weight"].std() < 0.012
    for name in ("attn.to_out.weight", "ff.fc2.weight"):
        assert 0.0010 < block[name].std() < 0.0014  # 0.01 / sqrt(2 * 36)
    assert not block["attn.to_out.bias"].any()
    assert (block["attn.norm.weight"] == 1).all()


def test_adapters_begin_by_adding_nothing_and_can_learn() -> None:
    tensors = initial_tensors(SMALL, RANKS, 0)
    assert not any(tensor.any() for name, tensor in tensors.items() if ".lora_B." in name)
    assert all(tensor.any() for name, tensor in tensors.items() if ".lora_A." in name)


def test_the_new_blocks_hardly_change_what_the_language_model_says() -> None:
    own = small_checkpoint()
    silent = {
        name: torch.zeros_like(tensor) if name.endswith(("to_out.weight", "ff.fc2.weight")) else tensor
        for name, tensor in own.tensors.items()
    }
    ours, theirs = (Learner(SMALL, own.ranks, tensors).logits(batch()) for tensors in (own.tensors, silent))
    assert 0 < (ours - theirs).abs().max() < 0.1 * theirs.std()
