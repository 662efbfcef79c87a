"""Half a model: what is measured is the checkpoint's own, what is not is small, and both sides are equal."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from model.bench.halves import Half, load_fast, load_twin, trimmed
from model.bench.sides import encode_fast, encode_naively
from model.checkpoint.checkpoint import Checkpoint, open_checkpoint
from model.config import GEOMETRIES
from model.layout import tensor_shapes
from model.runtime.hardware import Precision
from tests.support.golden import naive_twin, noise_image

CPU = torch.device("cpu")
EXACT = Precision(torch.float32, "tested")
BOTH: frozenset[Half] = frozenset({"vision", "decoder"})


@pytest.mark.parametrize(
    ("halves", "bound"),
    [(frozenset({"vision"}), 700e6), (frozenset({"decoder"}), 1_750e6), (frozenset(), 30e6)],
    ids=["vision", "decoder", "neither"],
)
def test_what_is_not_measured_is_small_at_full_size(halves: frozenset[Half], bound: float) -> None:
    large = open_checkpoint("random:Pheye-x4-448")
    small = trimmed(large, halves)
    numbers = sum(torch.Size(shape).numel() for shape in tensor_shapes(small.config, small.ranks).values())
    assert bound / 2 < numbers < bound
    assert set(small.tensors) == set(tensor_shapes(small.config, small.ranks))
    assert small.config.image_tokens == large.config.image_tokens
    assert small.config.vision.width == large.config.vision.width


@pytest.mark.parametrize(("half", "prefix"), [("vision", "vision_encoder."), ("decoder", "lang_encoder.")])
def test_what_is_measured_is_the_checkpoints_own(half: Half, prefix: str, tiny: Checkpoint) -> None:
    marked = replace(tiny, tensors={name: torch.full_like(tensor, 7.0) for name, tensor in tiny.tensors.items()})
    small = trimmed(marked, frozenset({half}))
    own = [name for name in tiny.tensors if name.startswith(prefix)]
    assert all(bool((small.tensors[name] == 7.0).all()) for name in own)
    assert not any(bool((small.tensors[name] == 7.0).all()) for name in small.tensors if name not in own)


def test_the_twin_loaded_without_a_copy_is_the_twin_of_the_tests(tiny: Checkpoint) -> None:
    twin, usual = load_twin(trimmed(tiny, BOTH), CPU, torch.float32), naive_twin(tiny)
    tiles = noise_image(tiny).tiles
    with torch.inference_mode():
        features = encode_naively(twin.model, tiles)
        assert torch.equal(features, encode_naively(usual, tiles))
        ids = torch.arange(9)[None]
        assert torch.equal(twin.model(ids, features[None]), usual(ids, features[None]))
    parameters = dict(twin.model.named_parameters())
    assert all(parameters[name].data_ptr() == tensor.data_ptr() for name, tensor in twin.checkpoint.tensors.items())


@pytest.mark.parametrize("halves", [frozenset({"vision"}), BOTH], ids=["vision alone", "both"])
def test_half_a_model_encodes_as_the_whole(halves: frozenset[Half], tiny: Checkpoint) -> None:
    fast = load_fast(load_twin(trimmed(tiny, halves), CPU, torch.float32), EXACT)
    tiles = noise_image(tiny).tiles
    with torch.inference_mode():
        torch.testing.assert_close(
            fast.placed(encode_fast(fast, [tiles])[0]), encode_naively(naive_twin(tiny), tiles), rtol=1e-3, atol=1e-4
        )


def test_stand_ins_of_models_with_reduced_blocks_are_whole_models() -> None:
    config = replace(GEOMETRIES["pheye-micro"], reduce=2, from_layer=1, cross_interval=1)
    small = trimmed(replace(open_checkpoint("random:pheye-micro"), config=config), frozenset({"vision"}))
    load_twin(small, CPU, torch.float32)
