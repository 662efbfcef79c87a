"""The compiled decode step against the same step in torch: alone, in a crowd, with images shared and not."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

pytest.importorskip("numba")

from model.checkpoint.checkpoint import open_checkpoint
from model.config import named_geometry
from model.network import linear
from model.network.compiled.compilation import background
from model.network.compiled.compilation.background import CompiledCode
from model.network.compiled_decoder import _MANY, CompiledDecoder, compiles_floats
from model.network.pheye import Pheye
from model.network.slots import Slots
from model.pixels.tiles import ImageKey

CPU = torch.device("cpu")
ROWS = 4


def model(name: str, bits: int, image_dtype: torch.dtype = torch.float32) -> Pheye:
    """Model whose compiled code is used from the first step on, compiled here if need be."""
    checkpoint = open_checkpoint(name, None, CPU)
    with pytest.MonkeyPatch.context() as patch:
        code = CompiledCode()
        code.ready = True
        patch.setattr(background, "CODE", code)
        return Pheye(checkpoint.tensors, checkpoint.config, CPU, torch.float32, bits=bits, image_dtype=image_dtype)


def filled(ours: Pheye) -> tuple[Slots, list[int]]:
    """Slots with rows of unequal length about two images, and the first token of each."""
    slots = ours.new_slots(ROWS, 40)
    chance = torch.Generator().manual_seed(0)
    config = ours.config
    for image in range(2):
        tiles = torch.randn(config.tiles, config.vision.tokens_per_tile, config.vision.width, generator=chance)
        ours.admit_image(slots, ImageKey(f"image {image}"), list(tiles))
    prompts = [torch.randint(config.decoder.vocab_size, (3 + row,), generator=chance).tolist() for row in range(ROWS)]
    for row, prompt in enumerate(prompts):
        slots.occupy(row, ImageKey(f"image {row % 2}"), len(prompt))
    return slots, ours.prefill(slots, list(range(ROWS)), prompts).argmax(-1).tolist()


@pytest.fixture(scope="module", params=[8, 4, 0], ids=["int8", "int4", "float32"])
def micro(request) -> Pheye:
    return model("random:pheye-micro", request.param)


@torch.inference_mode()
def test_logits_and_cache_are_those_of_the_step_in_torch(micro, monkeypatch):
    assert micro._compiled is not None
    ours, tokens = filled(micro)
    twins, _ = filled(micro)
    fast = micro.decode(ours, range(ROWS), tokens)
    monkeypatch.setattr(micro, "_compiled", None)
    slow = micro.decode(twins, range(ROWS), tokens)
    # Where a number lies between two of int8, the last bit decides how it is rounded.
    torch.testing.assert_close(fast, slow, rtol=2e-3, atol=2e-3)
    assert ours.lengths == twins.lengths
    for own, twin in ((ours.keys, twins.keys), (ours.values, twins.values)):
        torch.testing.assert_close(own, twin, rtol=2e-3, atol=2e-3)


@torch.inference_mode()
def test_a_row_says_the_same_alone_and_in_any_crowd(micro):
    slots, tokens = filled(micro)
    held = list(slots.lengths)
    together = micro.decode(slots, range(ROWS), tokens)
    for crowd in ([0], [1], [2], [3], [3, 1], [2, 0], [1, 0, 3]):
        slots.lengths[:] = held
        again = micro.decode(slots, crowd, [tokens[row] for row in crowd])
        for place, row in enumerate(crowd):
            assert torch.equal(again[place], together[row])


@pytest.fixture(scope="module")
def floats() -> Pheye:
    return model("random:pheye-micro", 0)


def prompts_of(ours: Pheye, *lengths: int) -> list[list[int]]:
    chance = torch.Generator().manual_seed(1)
    return [torch.randint(ours.config.decoder.vocab_size, (length,), generator=chance).tolist() for length in lengths]


@torch.inference_mode()
@pytest.mark.parametrize("threads", [1, 3])
def test_prompts_are_read_as_in_torch(floats, threads, monkeypatch):
    """36 tokens in all, which are more than one step takes; some look at their image together, some one by one."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    prompts = prompts_of(floats, 5, 20, 1, 10)
    (ours, _), (twins, _) = filled(floats), filled(floats)
    fast = floats.prefill(ours, range(ROWS), prompts)
    monkeypatch.setattr(floats, "_compiled", None)
    slow = floats.prefill(twins, range(ROWS), prompts)
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)
    for row, prompt in enumerate(prompts):  # behind its prompt, the twin keeps padding
        near = ours.keys[:, row, :, : len(prompt)], twins.keys[:, row, :, : len(prompt)]
        torch.testing.assert_close(*near, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("threads", [1, 3])
def test_a_prompt_says_the_same_alone_in_pieces_and_token_by_token(floats, threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    prompts = prompts_of(floats, 7, 34, 3, 12)
    slots, _ = filled(floats)
    together = floats.prefill(slots, range(ROWS), prompts)
    for row, prompt in enumerate(prompts):
        slots, _ = filled(floats)
        assert torch.equal(floats.prefill(slots, [row], [prompt])[0], together[row])
        half = len(prompt) // 2
        slots, _ = filled(floats)
        floats.prefill(slots, [row], [prompt[:half]])
        in_pieces = floats.prefill(slots, [row], [prompt], [half])[0]
        slots.lengths[row] = 0
        one_by_one = [floats.decode(slots, [row], [token]) for token in prompt][-1][0]
        for logits, is_long in ((in_pieces, half >= _MANY), (one_by_one, False)):
            if is_long == (len(prompt) >= _MANY):
                assert torch.equal(logits, together[row])
            else:
                torch.testing.assert_close(logits, together[row], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_steps_are_those_of_torch_until_the_compiled_code_is_there(floats, monkeypatch):
    slots, tokens = filled(floats)
    wanted = floats.decode(slots, range(ROWS), tokens)
    monkeypatch.setattr(floats._code, "ready", False)
    monkeypatch.setattr(
        floats, "_compiled", CompiledDecoder.of(floats._decoder, floats.config, floats._code, absorbed=False)
    )
    slots, tokens = filled(floats)
    torch.testing.assert_close(floats.decode(slots, range(ROWS), tokens), wanted, rtol=1e-4, atol=1e-5)
    assert not floats._compiled._steps


def test_a_large_model_in_float32_is_left_to_torch():
    config = named_geometry("Pheye-x4-448")
    assert not compiles_floats(config, CPU, torch.float32)
    assert not compiles_floats(named_geometry("pheye-micro"), CPU, torch.bfloat16)


@torch.inference_mode()
@pytest.mark.parametrize("threads", [1, 3])
def test_any_number_of_threads_says_the_same(micro, threads, monkeypatch):
    slots, tokens = filled(micro)
    wanted = micro.decode(slots, range(ROWS), tokens)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    slots, tokens = filled(micro)
    assert torch.equal(micro.decode(slots, range(ROWS), tokens), wanted)


@torch.inference_mode()
@pytest.mark.parametrize("threads", [(3, 2), (2, 1), (3, 2, 3)], ids=str)
def test_steps_go_on_with_fewer_threads_than_they_began_with(micro, threads, monkeypatch):
    slots, tokens = filled(micro)
    held = list(slots.lengths)
    wanted = micro.decode(slots, range(ROWS), tokens)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads[0])  # for which the steps over these slots are made
    slots, _ = filled(micro)
    for number in threads:
        monkeypatch.setattr(torch, "get_num_threads", lambda number=number: number)
        for _ in range(3):
            slots.lengths[:] = held
            assert torch.equal(micro.decode(slots, range(ROWS), tokens), wanted)


@torch.inference_mode()
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rows": [0, ROWS]}, "row slots are 0 to 3"),
        ({"rows": [-1, 0]}, "row slots are 0 to 3"),
        ({"rows": [1, 1]}, "different places"),
        ({"rows": []}, "1 to 32 different places"),
        ({"rows": [0] * 33, "positions": list(range(33))}, "1 to 32 different places"),
        ({"tokens": [0, 10**6]}, "tokens are 0 to"),
        ({"tokens": [0, -1]}, "tokens are 0 to"),
        ({"tokens": [0]}, "2 rows have 1 tokens"),
        ({"positions": [0, 40]}, "positions are 0 to 39"),
        ({"images": [0, 10**6]}, "image slots are 0 to"),
    ],
    ids=str,
)
def test_nothing_beyond_its_memory_is_read_or_written(micro, changed, said):
    slots, tokens = filled(micro)
    micro.decode(slots, [0, 1], tokens[:2])
    steps = micro._compiled._steps[slots]
    asked = {"rows": [0, 1], "tokens": [0, 0], "positions": [5, 5], "images": [0, 0]} | changed
    with pytest.raises(IndexError, match=said):
        steps.append(**asked)


@torch.inference_mode()
def test_tensors_of_a_checkpoint_may_lie_in_memory_in_any_order():
    checkpoint = open_checkpoint("random:pheye-micro", None, CPU)
    whole = dict(checkpoint.tensors)
    apart = {
        name: tensor.T.contiguous().T if tensor.ndim == 2 else torch.stack([tensor, tensor + 1], -1)[..., 0]
        for name, tensor in whole.items()
    }
    assert not any(tensor.is_contiguous() for tensor in apart.values() if min(tensor.shape) > 1)
    logits = []
    for tensors in (whole, apart):
        ours = Pheye(tensors, checkpoint.config, CPU, torch.float32, bits=8)
        slots, tokens = filled(ours)
        logits.append(ours.decode(slots, range(ROWS), tokens))
    assert torch.equal(*logits)


@torch.inference_mode()
def test_a_row_that_went_wrong_is_seen_and_costs_its_neighbours_nothing(micro):
    slots, tokens = filled(micro)
    held = list(slots.lengths)
    wanted = micro.decode(slots, range(ROWS), tokens)
    slots.lengths[:] = held
    slots.values[0, 2, 0, 0] = float("nan")
    again = micro.decode(slots, range(ROWS), tokens)
    assert not again[2].isfinite().any()
    for row in (0, 1, 3):
        assert torch.equal(again[row], wanted[row])


@torch.inference_mode()
@pytest.mark.parametrize("bits", [8, 4], ids=["int8", "int4"])
def test_images_in_bfloat16_change_little(bits, monkeypatch):
    ours = model("random:pheye-micro", bits, torch.bfloat16)
    slots, tokens = filled(ours)
    held = list(slots.lengths)
    fast = ours.decode(slots, range(ROWS), tokens)
    slots.lengths[:] = held
    monkeypatch.setattr(ours, "_compiled", None)
    slow = ours.decode(slots, range(ROWS), tokens)
    assert (fast - slow).abs().max() <= 0.05 * slow.abs().max()


@torch.inference_mode()
def test_the_tables_of_slots_go_with_the_slots(micro):
    slots, tokens = filled(micro)
    micro.decode(slots, range(ROWS), tokens)
    gone = weakref.ref(slots)
    del slots
    gc.collect()
    assert gone() is None


def test_without_numba_int8_is_torchs_and_int4_is_refused(monkeypatch):
    monkeypatch.setattr(linear.available, "installed", lambda: False)
    assert model("random:pheye-micro", 8)._compiled is None
    with pytest.raises(ValueError, match=r"pheye-service\[cpu\]"):
        model("random:pheye-micro", 4)


@pytest.mark.parametrize("exact", [True, False], ids=["vnni", "without"])
def test_a_layer_of_int8_is_held_twice_only_where_the_library_is_good_at_many_rows(exact, monkeypatch):
    monkeypatch.setattr(linear.available, "multiplies_bytes", lambda: exact)
    weight = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    of_steps, of_images = (linear.linear(weight, None, bits=8, stepped=stepped) for stepped in (True, False))
    assert (of_steps._of_many is not None) == exact
    assert isinstance(of_images, linear.Int8Linear)
