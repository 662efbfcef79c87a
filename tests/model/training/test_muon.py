"""Batched Muon: the same updates as torch's, alone and in a batch, and the same states."""

import pytest
import torch
from torch.optim._muon import DEFAULT_A, DEFAULT_B, DEFAULT_C

from model.training.muon import BatchedMuon, orthogonalised

SHAPES = [(8, 8), (24, 8), (8, 24), (8, 8), (24, 8)]
OPTIONS = {"lr": 0.02, "weight_decay": 0.1, "adjust_lr_fn": "match_rms_adamw"}
OBLONG = [(24, 8), (8, 24), (24, 8)]  # without the tiny singular values that magnify torch's bfloat16
COEFFICIENTS = (DEFAULT_A, DEFAULT_B, DEFAULT_C)


def matrices(shapes=SHAPES):
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]


def stepped(parameters, optimizer, steps=4):
    for step in range(steps):
        for number, parameter in enumerate(parameters):
            generator = torch.Generator().manual_seed(100 * number + step)
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
    return parameters


@pytest.mark.parametrize("shape", [(8, 8), (24, 8), (8, 24)])
def test_orthogonalised_is_the_iteration_that_it_says(shape):
    """Newton-Schulz maps singular values by a polynomial and leaves singular vectors alone."""
    batch = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = orthogonalised(batch, COEFFICIENTS, 5, 1e-7, torch.float64)
    left, values, right = torch.linalg.svd(batch, full_matrices=False)
    values = values / values.norm(dim=1, keepdim=True)
    a, b, c = COEFFICIENTS
    for _ in range(5):
        values = a * values + b * values**3 + c * values**5
    torch.testing.assert_close(found, left @ torch.diag_embed(values) @ right)


def test_updates_are_those_of_torch_up_to_its_bfloat16():
    torchs, ours = matrices(OBLONG), matrices(OBLONG)
    stepped(torchs, torch.optim.Muon(torchs, **OPTIONS))
    stepped(ours, BatchedMuon(ours, weight_decay=0.1, lr=0.02))
    for before, one, other in zip(matrices(OBLONG), torchs, ours, strict=True):
        moved = (one - before).norm()
        assert moved > 0.01
        assert (one - other).norm() < 0.1 * moved


def test_a_matrix_is_updated_alike_alone_and_among_others(monkeypatch):
    monkeypatch.setattr("model.training.muon.multiplies_bf16", lambda device: False)
    together = matrices()
    stepped(together, BatchedMuon(together, 0.1))
    for number, parameter in enumerate(matrices()):
        optimizer = BatchedMuon([parameter], 0.1)
        for step in range(4):
            generator = torch.Generator().manual_seed(100 * number + step)
            parameter.grad = torch.randn(parameter.shape, generator=generator)
            optimizer.step()
        torch.testing.assert_close(parameter, together[number])


def test_a_run_begun_with_torchs_goes_on():
    torchs, ours = matrices(OBLONG), matrices(OBLONG)
    before = torch.optim.Muon(torchs, **OPTIONS)
    stepped(torchs, before, 2)
    with torch.no_grad():
        for mine, theirs in zip(ours, torchs, strict=True):
            mine.copy_(theirs)
    after = BatchedMuon(ours, 0.1)
    after.load_state_dict(before.state_dict())
    stepped(torchs, before, 2)
    stepped(ours, after, 2)
    for one, other, start in zip(torchs, ours, matrices(OBLONG), strict=True):
        assert (one - other).norm() < 0.1 * (one - start).norm()


def test_a_parameter_without_a_gradient_stays():
    first, second = matrices([(8, 8), (8, 8)])
    optimizer = BatchedMuon([first, second], 0.1)
    before = second.detach().clone()
    first.grad = torch.ones_like(first)
    optimizer.step()
    assert torch.equal(second, before)


def test_a_closure_is_refused():
    with pytest.raises(ValueError, match="closure"):
        BatchedMuon(matrices(), 0.1).step(lambda: 0.0)
