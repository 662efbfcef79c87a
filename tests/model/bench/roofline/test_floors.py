"""Floors: what a pass must read is what the fast path holds, and it takes the longer of reading and multiplying."""

from __future__ import annotations

import pytest
import torch

from model import complexity
from model.bench.roofline.ceilings import Ceilings
from model.bench.roofline.floors import Floor, Pass, PassCosts, decoder_weights, floor
from model.checkpoint.checkpoint import Checkpoint
from model.config import GEOMETRIES
from model.network.pheye import Pheye

MACHINE = Ceilings("m", "float32", bytes_per_s=10.0, flops_per_s=100.0, probes={})
MICRO = GEOMETRIES["pheye-micro"]
COSTS = PassCosts(MICRO, "float32")


def test_a_pass_takes_the_longer_of_reading_and_multiplying() -> None:
    assert floor([Pass(bytes=50, flops=100)], MACHINE) == Floor(5.0, "memory")
    assert floor([Pass(bytes=5, flops=100)], MACHINE) == Floor(1.0, "matrix")
    assert floor([Pass(50, 100), Pass(5, 700)], MACHINE) == Floor(12.0, "matrix")


def test_a_decode_step_reads_every_weight_but_embedding_and_projection(tiny: Checkpoint) -> None:
    unread = ("embed_tokens", ".to_kv.")
    stored = {name: tensor.numel() for name, tensor in tiny.tensors.items() if name.startswith("lang_encoder.")}
    read = sum(size for name, size in stored.items() if not any(part in name for part in unread))
    projection = sum(size for name, size in stored.items() if ".to_kv." in name)
    assert decoder_weights(tiny.config, project=False) == read
    assert decoder_weights(tiny.config, project=True) == read + projection


def test_a_decode_step_reads_each_rows_own_keys_and_each_image_once(tiny: Checkpoint) -> None:
    slots = Pheye(tiny.tensors, MICRO, torch.device("cpu"), torch.float32).new_slots(1, 64)
    row, image = slots.keys.nbytes + slots.values.nbytes, slots.images.keys.nbytes + slots.images.values.nbytes
    weights = 4 * decoder_weights(MICRO, project=False)
    assert COSTS.decode([64, 32], images=1).bytes == weights + row + row // 2 + image
    assert COSTS.decode([64, 64], images=2).bytes == weights + 2 * (row + image)


def test_int8_reads_a_quarter_of_the_weights_and_half_of_what_is_kept_of_an_image() -> None:
    exact, quantised = COSTS.decode([1], 1).bytes, PassCosts(MICRO, "int8").decode([1], 1).bytes
    image = complexity.cross_attention_bytes(MICRO, "float32")
    assert exact - quantised == 3 * decoder_weights(MICRO, project=False) + image // 2


def test_int4_reads_half_of_what_int8_reads_but_for_the_head_and_the_scales() -> None:
    int8, int4 = (PassCosts(MICRO, dtype).decode([1], 1).bytes for dtype in ("int8", "int4"))
    layers = decoder_weights(MICRO, project=False) - MICRO.decoder.vocab_size * MICRO.decoder.width
    assert int8 - int4 == pytest.approx(layers * (1 - complexity.INT4_BYTES), abs=1)


def test_rows_that_share_an_image_project_it_once() -> None:
    apart, together = COSTS.prefill([20, 30], images=2), COSTS.prefill([20, 30], images=1)
    assert apart.flops == complexity.prefill_flops(MICRO, 20) + complexity.prefill_flops(MICRO, 30)
    assert apart.flops - together.flops == complexity.project_flops(MICRO)


def test_what_prompts_share_is_read_once_for_each_image() -> None:
    whole, shared = COSTS.prefill([20, 30], images=1), COSTS.prefill([20, 30], images=1, common=15)
    reads = complexity.prefill_flops(MICRO, 20) + complexity.prefill_flops(MICRO, 15)
    assert shared.flops == reads - complexity.project_flops(MICRO) < whole.flops


def test_encoding_reads_both_towers_and_multiplies_each_image() -> None:
    one, two = COSTS.encode(1), COSTS.encode(2)
    assert one.bytes == two.bytes == 4 * 2 * complexity.parameters(MICRO).vision_tower
    assert two.flops == 2 * one.flops == 2 * complexity.encode_flops(MICRO)


def test_an_answer_is_a_prefill_and_a_step_for_every_token_but_the_first() -> None:
    passes = COSTS.answers([20], 1, tokens=3)
    assert passes == [COSTS.prefill([20], 1), COSTS.decode([21], 1), COSTS.decode([22], 1)]


@pytest.mark.parametrize(("model", "gigabytes"), [("Pheye-x4-448", 6.41), ("Pheye-x2-672", 7.80)])
def test_a_step_at_full_size_reads_gigabytes(model: str, gigabytes: float) -> None:
    step = PassCosts(GEOMETRIES[model], "float32").decode([66], 1)
    assert step.bytes == pytest.approx(gigabytes * 1e9, rel=0.01)
