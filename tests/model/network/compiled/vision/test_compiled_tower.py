"""The vision tower with compiled layers, or with compiled attention alone, against the same in torch."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch

pytest.importorskip("numba")

from model.checkpoint.checkpoint import open_checkpoint
from model.network import compiled_tower, linear, vision
from model.network.compiled.compilation import background
from model.network.compiled.compilation.background import CompiledCode
from model.network.compiled_tower import CompiledTower, LargeCompiledTower
from model.network.pheye import Pheye

CPU = torch.device("cpu")
SOURCES = ["model/weights/pheye-tiny", "random:pheye-micro"]


@pytest.fixture(params=SOURCES)
def model(request, monkeypatch) -> Pheye:
    """Model on a processor whose widest vectors are AVX2's, whose compiled code is not there yet."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(background, "CODE", CompiledCode())
    checkpoint = open_checkpoint(request.param, None, CPU)
    return Pheye(checkpoint.tensors, checkpoint.config, CPU, torch.float32)


def noise(model: Pheye, count: int) -> np.ndarray:
    side = model.config.vision.tile_px
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@torch.inference_mode()
@pytest.mark.parametrize("form", ["small", "large", "attention"])
def test_features_are_those_of_torch(model, form, monkeypatch):
    tiles = noise(model, 5)
    slow = model.encode_tiles(tiles, range(5))
    model._code.ready = True
    for tower in (model.vision._local, model.vision._global):
        assert tower._is_compiled
        monkeypatch.setattr(tower, "_is_small", form == "small")
        monkeypatch.setattr(tower, "_is_compiled", form != "attention")
    fast = model.encode_tiles(tiles, range(5))
    assert not torch.equal(fast, slow), "something else computed it"
    kind = {"attention": type(None), "small": CompiledTower, "large": LargeCompiledTower}[form]
    assert {type(tower._compiled_layers) for tower in (model.vision._local, model.vision._global)} == {kind}
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-4)


def streams(model: Pheye, tiles: int) -> torch.Tensor:
    """What stands before the first layer, made up [tiles, tokens, D]."""
    geometry = model.config.vision
    chance = torch.Generator().manual_seed(0)
    return torch.randn(tiles, geometry.tokens_per_tile, geometry.width, generator=chance)


@torch.inference_mode()
@pytest.mark.parametrize("form", ["small", "large"])
@pytest.mark.parametrize("threads", [1, 2, 3, 16])
def test_a_tile_has_the_same_features_alone_and_by_any_number_of_threads(model, threads, form, monkeypatch):
    monkeypatch.setattr(model.vision._local, "_is_small", form == "small")
    x, compiled = streams(model, 5), model.vision._local._compiled()
    by_one = compiled(x.flatten(0, 1), 5).view(x.shape)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    together = compiled(x.flatten(0, 1), 5).view(x.shape)
    assert torch.equal(together, by_one)
    for tile in range(5):
        assert torch.equal(compiled(x[tile], 1), together[tile])


@torch.inference_mode()
@pytest.mark.parametrize("form", ["small", "large"])
def test_a_tile_of_what_is_no_number_leaves_others_alone(model, form, monkeypatch):
    monkeypatch.setattr(model.vision._local, "_is_small", form == "small")
    compiled, x = model.vision._local._compiled(), streams(model, 2)
    alone = compiled(x[1], 1)
    x[0, 0, 0] = float("nan")
    found = compiled(x.flatten(0, 1), 2).view(x.shape)
    assert found[0].isnan().any()
    assert torch.equal(found[1], alone)


def test_other_processors_keep_torch(monkeypatch):
    checkpoint = open_checkpoint("random:pheye-micro", None, CPU)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert not vision.compiles_tower(checkpoint.config.vision, CPU, torch.float32)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert vision.compiles_tower(checkpoint.config.vision, CPU, torch.float32)


@torch.inference_mode()
def test_packed_weights_are_moved_as_they_are(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(background, "CODE", CompiledCode())
    monkeypatch.setattr(vision, "_SMALL_WIDTH", 0)
    checkpoint = open_checkpoint("model/weights/pheye-tiny", None, CPU)
    plain = Pheye(checkpoint.tensors, checkpoint.config, CPU, torch.float32)
    monkeypatch.setattr(linear, "_SMALL", 0)  # as if no layer were small
    packed = Pheye(checkpoint.tensors, checkpoint.config, CPU, torch.float32)
    assert isinstance(packed.vision._local._layers[0].qkv, linear.PackedLinear)
    tiles = noise(plain, 3)
    plain._code.ready = True
    assert packed._code.ready
    assert torch.equal(packed.encode_tiles(tiles, range(3)), plain.encode_tiles(tiles, range(3)))
    assert packed.vision._local._layers == []


@torch.inference_mode()
def test_one_layer_at_a_time_is_held_twice_while_an_image_waits_for_the_weights(model, monkeypatch):
    model._code.ready = True
    local, held, add = model.vision._local, [], LargeCompiledTower.add
    local._is_small = False
    weights = [weakref.ref(layer.qkv.weight) for layer in local._layers]

    def counted(self, layer):
        add(self, layer)
        held.append(sum(weight() is not None for weight in weights))

    monkeypatch.setattr(LargeCompiledTower, "add", counted)
    local(torch.from_numpy(noise(model, 2)))
    assert held == list(range(len(weights), 0, -1))


@torch.inference_mode()
def test_code_that_becomes_ready_while_a_thread_encodes_takes_no_layer_from_it(model, monkeypatch):
    tiles = noise(model, 5)
    slow = model.encode_tiles(tiles, range(5))
    local, attend = model.vision._local, model.vision._local._attend

    def slowly(qkv, n):
        model._code.ready = True
        local._compiled()  # by another thread
        return attend(qkv, n)

    monkeypatch.setattr(local, "_attend", slowly)
    torch.testing.assert_close(model.encode_tiles(tiles, range(5)), slow, rtol=1e-4, atol=1e-4)
    assert local._layers == []


@torch.inference_mode()
@pytest.mark.parametrize("form", ["small", "large"])
def test_memory_that_runs_out_while_weights_are_taken_over_costs_one_call(model, form, monkeypatch):
    tiles = noise(model, 5)
    slow = model.encode_tiles(tiles, range(5))
    monkeypatch.setattr(model.vision._local, "_is_small", form == "small")
    model._code.ready = True
    in_panels, calls = compiled_tower._in_panels, []

    def until_memory_runs_out(weight):
        calls.append(weight)
        if len(calls) == 6:  # in the second layer
            raise MemoryError
        return in_panels(weight)

    monkeypatch.setattr(compiled_tower, "_in_panels", until_memory_runs_out)
    with pytest.raises(MemoryError):
        model.vision._local(torch.from_numpy(tiles))
    torch.testing.assert_close(model.encode_tiles(tiles, range(5)), slow, rtol=1e-4, atol=1e-4)
