"""The paper's equations give the paper's numbers; our own counts are what torch measures and what memory holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache

from model.checkpoint.checkpoint import Checkpoint, random_checkpoint
from model.complexity import (
    PREFIX_TOKENS,
    Parameters,
    cross_attention_bytes,
    decode_flops,
    encode_flops,
    feature_bytes,
    llava_multiplications,
    own_ratios,
    paper_ratios,
    parameters,
    prefill_flops,
    project_flops,
    self_attention_bytes,
    slot_bytes,
    tiled_vit_multiplications,
    vit_multiplications,
    weight_bytes,
)
from model.config import GEOMETRIES, PheyeConfig
from model.network.compiled.compilation import available
from model.network.pheye import Pheye
from tests.support.golden import fp32_runner, naive_twin

TINY = GEOMETRIES["pheye-micro"]
VARIANTS = [
    TINY,
    replace(TINY, level=3, first_level=False, cross_interval=3),
    replace(TINY, reduce=2, from_layer=1, cross_interval=1),
]
NAMES = ["as published", "nine tiles and one adapter", "reduced blocks behind layer 1"]


@pytest.fixture(scope="module", params=VARIANTS, ids=NAMES)
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    return random_checkpoint(request.param)


def _packed_flops(x: torch.Size, weight: torch.Size, *_: Any, **__: Any) -> int:
    return 2 * math.prod(x) * weight[0]


def measured(call: Callable[[], Any]) -> tuple[int, Any]:
    """FLOPs and result. Only the plain attention kernel shows its products to the counter on a CPU."""
    packed = {torch.ops.mkldnn._linear_pointwise: _packed_flops}  # torch has no formula for it
    counter = FlopCounterMode(display=False, custom_mapping=packed)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), counter:
        result = call()
    return counter.get_total_flops(), result


def test_a_large_vit_costs_1_01_of_the_tiled_one_as_equations_1_and_2_say() -> None:
    assert round(paper_ratios(interval=4).vision, 2) == 1.01  # the paper's text says "approximately 1.02"
    assert vit_multiplications(2305, 1280) / tiled_vit_multiplications(257, 1280, 10) == pytest.approx(1.0145, abs=5e-5)


@pytest.mark.parametrize(("interval", "ratio"), [(2, 12.1), (4, 18.5)], ids=["x2", "x4"])
def test_llava_costs_as_many_times_more_as_the_paper_says(interval: int, ratio: float) -> None:
    assert round(paper_ratios(interval).language, 1) == ratio


def test_equations_count_by_hand_for_a_toy() -> None:
    assert vit_multiplications(n=3, d=2) == 4 * 3 * 4 + 2 * 9 + 8 * 3 * 4
    assert llava_multiplications(n_t=1, n_i=2, d=2) == vit_multiplications(n=3, d=2)


def test_a_672_model_has_the_papers_vision_ratio_and_pays_for_the_extra_cls_tokens_in_language() -> None:
    own, paper = own_ratios(GEOMETRIES["Pheye-x4-672"]), paper_ratios(interval=4)
    assert own.vision == paper.vision
    assert 17 < own.language < paper.language


@pytest.mark.parametrize("size", [448, 672])
@pytest.mark.parametrize(("interval", "trained"), [(4, 295_136_192), (2, 578_411_456)], ids=["x4", "x2"])
def test_trained_parameters_are_the_published_ones(interval: int, trained: int, size: int) -> None:
    config = GEOMETRIES[f"Pheye-x{interval}-{size}"]
    assert parameters(config).trained == trained
    two_of_rank_8 = parameters(replace(config, first_level=True), {"first": 8, "second": 8})
    assert two_of_rank_8.trained == trained, "the numbers cannot tell one adapter of rank 16 from two of rank 8"


def test_every_number_of_a_checkpoint_belongs_to_one_part(checkpoint: Checkpoint) -> None:
    stored = sum(tensor.numel() for tensor in checkpoint.tensors.values())
    assert parameters(checkpoint.config).total == stored == fp32_runner(checkpoint).parameters


def test_trained_is_what_the_naive_twin_would_train(checkpoint: Checkpoint) -> None:
    twin, counted = naive_twin(checkpoint), parameters(checkpoint.config)
    lora = sum(weight.numel() for name, weight in twin.named_parameters() if "lora_" in name)
    assert lora == counted.adapter_local + counted.adapter_global
    blocks = [layer.cross_attn_layer for layer in twin.lang_encoder.model.layers if layer.cross_attn_layer is not None]
    cross = sum(weight.numel() for block in blocks for weight in block.parameters())
    assert cross == counted.cross_attention
    width = checkpoint.config.vision.width
    assert counted.trained == lora + cross + 21 * width + 3 * 2 * width


def test_served_is_what_the_loaded_model_keeps(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(available, "installed", lambda: False)  # compiled code keeps a second form of small models
    model = Pheye(checkpoint.tensors, checkpoint.config, torch.device("cpu"), torch.float32)
    kept = sum(tensor.numel() for tensor in {id(tensor): tensor for tensor in held(model)}.values())
    decoder = checkpoint.config.decoder
    summed = decoder.layers * decoder.width  # biases of attention and feed-forward, which are kept as their sum
    assert kept + summed == parameters(checkpoint.config).served


def held(thing: object) -> Iterator[torch.Tensor]:
    """Every weight that an object of the fast path holds, however deep; rotary tables and pixel constants are none."""
    if isinstance(thing, torch.Tensor):
        yield thing
    elif isinstance(thing, list | tuple):
        for item in thing:
            yield from held(item)
    elif isinstance(thing, dict):
        yield from held(list(thing.values()))
    elif type(thing).__module__.startswith("model.") and type(thing).__name__ != "Rotary":
        names = [*getattr(thing, "__dict__", {}), *getattr(type(thing), "__slots__", ())]
        yield from held([getattr(thing, name) for name in names if name not in ("_mean", "_std")])


def test_weights_in_fewer_bits_take_fewer_bytes_and_a_second_form_takes_more() -> None:
    config = GEOMETRIES["Pheye-x4-448"]
    int4, int8, twice = (
        weight_bytes(config, dtype, twice=double)
        for dtype, double in (("int4", False), ("int8", False), ("int8", True))
    )
    assert int4 < int8 < twice < weight_bytes(config, "float32") == 2 * weight_bytes(config, "bfloat16")
    assert 0.5e9 < int8 - int4 < 0.75e9  # 1.46 billion weights of layers
    assert 1.5e9 < twice - int8 < 1.6e9


def test_slot_and_feature_bytes_are_what_the_arrays_hold(checkpoint: Checkpoint) -> None:
    config = checkpoint.config
    model = Pheye(checkpoint.tensors, config, torch.device("cpu"), torch.float32)
    slots = model.new_slots(3, 96, range(PREFIX_TOKENS))
    kept = [*vars(slots).values(), slots.images.keys, slots.images.values, slots.images.features]
    assert 3 * slot_bytes(config, 96, "float32") == sum(item.nbytes for item in kept if isinstance(item, torch.Tensor))
    saved = cross_attention_bytes(config, "float32") - cross_attention_bytes(config, "int8")  # images are bfloat16
    assert saved == cross_attention_bytes(config, "bfloat16")
    assert slot_bytes(config, 96, "int8") == slot_bytes(config, 96, "float32") - saved
    assert 3 * self_attention_bytes(config, 96, "float32") == slots.keys.nbytes + slots.values.nbytes
    assert 3 * cross_attention_bytes(config, "float32") == slots.images.keys.nbytes + slots.images.values.nbytes
    tiles = blank_tiles(config)
    assert feature_bytes(config, "float32") == model.encode_tiles(tiles, range(config.tiles)).nbytes
    assert feature_bytes(config, "bfloat16") * 2 == feature_bytes(config, "float32")


def blank_tiles(config: PheyeConfig) -> np.ndarray:
    return np.zeros((config.tiles, config.vision.tile_px, config.vision.tile_px, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "features", "cross"),
    [("Pheye-x4-448", 3.3e6, 63e6), ("Pheye-x2-672", 6.6e6, 253e6)],
    ids=["x4-448", "x2-672"],
)
def test_an_image_takes_megabytes_as_features_and_many_more_as_keys_and_values(
    name: str, features: float, cross: float
) -> None:
    assert feature_bytes(GEOMETRIES[name], "bfloat16") == pytest.approx(features, rel=0.01)
    assert cross_attention_bytes(GEOMETRIES[name], "bfloat16") == pytest.approx(cross, rel=0.01)


def test_flops_of_the_fast_path_are_what_torch_counts(checkpoint: Checkpoint) -> None:
    config, prompt = checkpoint.config, list(range(20))
    model = Pheye(checkpoint.tensors, config, torch.device("cpu"), torch.float32)
    slots = model.new_slots(2, 64)
    encoding, features = measured(lambda: model.encode_tiles(blank_tiles(config), range(config.tiles)))
    projecting, _ = measured(lambda: model.admit_image(slots, "image", list(features)))
    slots.occupy(0, "image", len(prompt))
    reading, _ = measured(lambda: model.prefill(slots, [0], [prompt]))
    decoding, _ = measured(lambda: model.decode(slots, [0], [1]))
    assert encoding == encode_flops(config)
    assert projecting == project_flops(config)
    assert projecting + reading == prefill_flops(config, 20)
    assert decoding == decode_flops(config, 21)


# transformers' CLIP and Phi, peft's adapters: the naive twin costs what we say the original costs.
def test_flops_of_the_original_are_what_torch_counts_in_the_naive_twin(checkpoint: Checkpoint) -> None:
    config, twin = checkpoint.config, naive_twin(checkpoint)
    pixels = torch.zeros(1, config.tiles, 3, config.vision.tile_px, config.vision.tile_px)
    cache = DynamicCache(config=twin.lang_encoder.config)
    encoding, features = measured(lambda: twin.vision_encoder(pixels))
    reading, _ = measured(lambda: twin(torch.arange(20)[None], features, cache))
    decoding, _ = measured(lambda: twin(torch.tensor([[1]]), features, cache))
    assert encoding == encode_flops(config, checkpoint.ranks)
    assert reading == prefill_flops(config, 20, original=True)
    assert decoding == decode_flops(config, 21, recompute=True)


def test_keeping_keys_and_values_saves_most_of_a_decoded_token_at_full_size() -> None:
    config = GEOMETRIES["Pheye-x4-672"]
    kept, recomputed = (decode_flops(config, 128, recompute=again) for again in (False, True))
    assert recomputed > 40 * kept


def test_parameters_add_up() -> None:
    counted = Parameters(1, 2, 3, 4, 5, 6, 7, unused=8, trained=0)
    assert counted.total == 36
    assert counted.served == 2 * 1 + 4 + 5 + 6 + 7
