"""Weights in blocks: what is packed can be read back, and rounding loses no more than it must."""

from __future__ import annotations

import pytest
import torch

from model.network.compiled.packing import GROUP, PackedWeights, pack_int4, pack_int8, quantised_int4, unpacked

SHAPES = [(8, GROUP), (24, 40), (19, 3 * GROUP), (64, 200)]
FORMS = {"int8": (pack_int8, 0.01), "int4": (pack_int4, 0.12)}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_weights_come_back_within_their_rounding(form, shape):
    pack, lost = FORMS[form]
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    packed: PackedWeights = pack(weight)
    again = unpacked(packed)
    assert again.shape == weight.shape
    assert (again - weight).norm() <= lost * weight.norm()
    assert packed.padded_inputs % GROUP == 0
    assert packed.blocks.shape[0] == -(-shape[0] // 8)


@pytest.mark.parametrize("form", FORMS)
def test_what_was_packed_before_is_packed_without_loss(form):
    pack, _ = FORMS[form]
    once = unpacked(pack(torch.randn(16, GROUP, generator=torch.Generator().manual_seed(1))))
    torch.testing.assert_close(unpacked(pack(once)), once, rtol=1e-6, atol=0)


@pytest.mark.parametrize("form", FORMS)
def test_zeros_stay_zeros(form):
    pack, _ = FORMS[form]
    assert not unpacked(pack(torch.zeros(8, GROUP))).any()


def test_a_group_far_larger_than_its_neighbour_costs_it_nothing_in_int4():
    weight = torch.randn(8, 2 * GROUP, generator=torch.Generator().manual_seed(2))
    beside = weight.clone()
    beside[:, GROUP:] *= 1000
    assert torch.equal(unpacked(pack_int4(weight))[:, :GROUP], unpacked(pack_int4(beside))[:, :GROUP])


def test_int4_takes_a_scale_that_loses_no_more_than_the_one_by_the_largest_weight():
    weight = torch.randn(64, GROUP, generator=torch.Generator().manual_seed(3))
    rounded, scales = quantised_int4(weight)
    lost = (rounded.squeeze(1) * scales.float() - weight).square().sum(1)
    place = weight.abs().argmax(1, keepdim=True)
    largest = (weight.gather(1, place) / -8).to(torch.bfloat16).float()
    simple = ((weight / largest).round().clamp(-8, 7) * largest - weight).square().sum(1)
    assert (lost <= simple).all()
    assert (lost < simple).any()
