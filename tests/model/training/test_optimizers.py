"""Optimizers: who gets which parameters, and that a saved state goes on as if never stopped."""

import pytest
import torch

from model.training.optimizers import optimizer_of

SHAPES = {
    "lang_encoder.model.layers.0.cross_attn_layer.attn.to_q.weight": (8, 8),
    "lang_encoder.model.layers.0.cross_attn_layer.attn.to_q.bias": (8,),
    "vision_encoder.vision_model.base_model.model.encoder.layers.0.mlp.fc1.lora_A.first.weight": (2, 8),
    "vision_encoder.connector.embedding.weight": (21, 8),
}


def parameters():
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator).requires_grad_() for name, shape in SHAPES.items()}


def stepped(ours, optimizer, steps, rate=0.1):
    for step in range(steps):
        for tensor in ours.values():
            tensor.grad = torch.full_like(tensor, 0.5) * (1 + step) + tensor.detach() * 0.1
        optimizer.step(rate)


def test_adamw_takes_everything():
    optimizer = optimizer_of(parameters(), "adamw", 0.1, (0.9, 0.99))
    assert [type(part) for part in optimizer.parts] == [torch.optim.AdamW]


def test_muon_takes_whole_matrices_and_leaves_adapters_vectors_and_positions():
    ours = parameters()
    muon, adamw = optimizer_of(ours, "muon", 0.1, (0.9, 0.99)).parts
    matrix = next(iter(ours.values()))
    assert [tensor is matrix for group in muon.param_groups for tensor in group["params"]] == [True]
    assert sum(len(group["params"]) for group in adamw.param_groups) == 3


def test_vectors_and_tile_positions_do_not_decay():
    ours = parameters()
    groups = optimizer_of(ours, "adamw", 0.1, (0.9, 0.99)).parts[0].param_groups
    decay = {id(tensor): group["weight_decay"] for group in groups for tensor in group["params"]}
    assert [decay[id(tensor)] for tensor in ours.values()] == [0.1, 0.0, 0.1, 0.0]


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_saved_state_goes_on_as_if_never_stopped(name):
    straight = parameters()
    stepped(straight, optimizer_of(straight, name, 0.1, (0.9, 0.99)), 6)

    first = parameters()
    before = optimizer_of(first, name, 0.1, (0.9, 0.99))
    stepped(first, before, 3)
    second = {key: tensor.detach().clone().requires_grad_() for key, tensor in first.items()}
    after = optimizer_of(second, name, 0.1, (0.9, 0.99))
    after.load_state_dict(before.state_dict())
    for step in range(3, 6):
        for tensor in second.values():
            tensor.grad = torch.full_like(tensor, 0.5) * (1 + step) + tensor.detach() * 0.1
        after.step(0.1)
    for key in straight:
        assert torch.equal(straight[key], second[key])


def test_gradients_are_forgotten_after_a_step():
    ours = parameters()
    stepped(ours, optimizer_of(ours, "muon", 0.0, (0.9, 0.99)), 1)
    assert all(tensor.grad is None for tensor in ours.values())
