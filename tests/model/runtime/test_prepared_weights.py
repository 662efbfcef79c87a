"""Rounded weights kept for the next start: the same answers, and no more than a warning where they are no good."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.checkpoint import checkpoint as checkpoints
from model.checkpoint import checks
from model.checkpoint.checkpoint import CheckpointError, open_checkpoint
from model.checkpoint.conversion import convert
from model.network import layers
from model.runtime import prepared_weights
from model.runtime.load import KeptFolders, load_runner
from model.runtime.memory_plan import MemoryDemand
from model.runtime.prepared_weights import PreparedWeights
from model.runtime.runner import ModelRunner
from tests.support.golden import OWN_GOLDEN, noise_image
from tests.support.prepared_sets import forbidden, kept, set_in, some

SMALL = MemoryDemand(context_tokens=128, slots=1)


def load(model: str, dtype: str, folder: Path | None) -> ModelRunner:
    return load_runner(model, dtype=dtype, threads=2, demand=SMALL, folders=KeptFolders(weights=folder))


def logits(runner: ModelRunner) -> Tensor:
    """What the model says of an image after a prompt of 3 tokens and of 12, and one token later."""
    model, slots = runner._model, runner._slots
    image = noise_image(open_checkpoint("random:pheye-micro"))
    with torch.inference_mode():
        model.admit_image(slots, image.image_key, list(model.encode_tiles(image.tiles, range(runner.config.tiles))))
        said = []
        for length in (3, 12):
            slots.occupy(0, image.image_key, length)
            said.append(model.prefill(slots, [0], [list(range(length))]).clone())
            said.append(model.decode(slots, [0], [5]).clone())
            slots.release(0)
    return torch.cat(said)


@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_a_model_of_kept_weights_says_the_same_to_the_last_bit(
    dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "_MANY_NUMBERS", 1)  # norms and embeddings, too
    written = []
    keep = PreparedWeights.keep
    monkeypatch.setattr(PreparedWeights, "keep", lambda prepared: written.append(keep(prepared)))
    plain, first = load("random:pheye-micro", dtype, None), load("random:pheye-micro", dtype, tmp_path)
    [writing] = written
    writing.join()
    monkeypatch.setattr(layers, "round_weight", forbidden)
    second = load("random:pheye-micro", dtype, tmp_path)
    assert written == [writing, None]
    expected = logits(plain)
    assert torch.equal(logits(first), expected)
    assert torch.equal(logits(second), expected)


def test_other_precisions_models_and_code_have_sets_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(tmp_path)
    for fingerprint, precision in (("a model", "int4"), ("another", "int8")):
        found = PreparedWeights(tmp_path, fingerprint, precision)("one", lambda: some(3.0))
        assert found[0].tolist() == [3.0]
    monkeypatch.setattr(prepared_weights, "rounding_here", lambda: "another processor")
    assert PreparedWeights(tmp_path, "a model", "int8")("one", lambda: some(4.0))[0].tolist() == [4.0]
    monkeypatch.undo()
    numbers, byte = PreparedWeights(tmp_path, "a model", "int8")("one", forbidden)
    assert (numbers.tolist(), byte.tolist(), byte.dtype) == ([1.0, 2.0], [7], torch.int8)
    assert numbers.data_ptr() % 64 == byte.data_ptr() % 64 == 0


def test_what_is_known_is_not_written_again_and_what_is_not_is_added(tmp_path: Path) -> None:
    kept(tmp_path)
    again = PreparedWeights(tmp_path, "a model", "int8")
    again("one", forbidden)
    assert again.keep() is None
    again("two", lambda: some(9.0))
    writing = again.keep()
    assert writing is not None
    writing.join()
    both = PreparedWeights(tmp_path, "a model", "int8")
    assert [both(name, forbidden)[0].tolist() for name in ("one", "two")] == [[1.0, 2.0], [9.0]]


def cut(place: Path) -> None:
    os.truncate(place / "weights.npy", 150)


def lost(place: Path) -> None:
    (place / "weights.npy").unlink()


def pickled(place: Path) -> None:
    np.save(place / "weights.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


def table(tensors: object) -> Callable[[Path], object]:
    return lambda place: (place / "tensors.json").write_text(json.dumps({"tensors": tensors, "checksum": ""}))


def other_shape(place: Path) -> None:
    content = json.loads((place / "tensors.json").read_text())
    content["tensors"]["one"][0][1] = [1]
    (place / "tensors.json").write_text(json.dumps(content))


def fewer_parts(place: Path) -> None:
    content = json.loads((place / "tensors.json").read_text())
    content["tensors"]["one"].pop()
    (place / "tensors.json").write_text(json.dumps(content))


def one_bit(place: Path) -> None:
    content = bytearray((place / "weights.npy").read_bytes())
    content[128] ^= 1
    (place / "weights.npy").write_bytes(content)


def zeros(place: Path) -> None:
    content = (place / "weights.npy").read_bytes()
    (place / "weights.npy").write_bytes(content[:128] + bytes(len(content) - 128))


@pytest.mark.parametrize(
    "spoil",
    [
        cut,
        lost,
        pickled,
        other_shape,
        fewer_parts,
        one_bit,
        zeros,
        table([]),
        table({"one": [["torch.float32", [1 << 40], 0]]}),
        table({"one": [["torch.float32", [-1], 64]]}),
        table({"one": [["torch.float32", [1], 3]]}),
        table({"one": [["torch.complex64", [1], 0]]}),
        table({"one": [[["torch.float32"], ["x"], None]]}),
    ],
    ids=[
        *("cut", "lost", "pickled", "other shape", "fewer parts", "one bit", "zeros"),
        *("a list", "too long", "negative", "crooked", "complex", "odd"),
    ],
)
def test_a_set_that_is_no_good_is_made_again(
    spoil: Callable[[Path], object], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept(tmp_path)
    spoil(set_in(tmp_path))
    with caplog.at_level(logging.WARNING):
        prepared = PreparedWeights(tmp_path, "a model", "int8")
    assert "cannot be used, and will be made again" in caplog.text
    prepared("one", lambda: some(5.0))
    writing = prepared.keep()
    assert writing is not None
    writing.join()
    assert PreparedWeights(tmp_path, "a model", "int8")("one", forbidden)[0].tolist() == [5.0]


def test_large_tensors_of_a_model_that_was_seen_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    convert(str(OWN_GOLDEN / "x2-l2"), folder)
    looked: list[str] = []
    monkeypatch.setattr(checks, "_not_finite", lambda _, names: looked.extend(names))
    monkeypatch.setattr(checkpoints, "_MANY_NUMBERS", 1000)
    identity = open_checkpoint(str(folder)).identity
    tensors = open_checkpoint(str(folder), has_seen=lambda _: False).tensors
    assert set(looked) == set(tensors)
    looked.clear()
    open_checkpoint(str(folder), has_seen=lambda asked: asked == identity)
    assert set(looked) == {name for name, tensor in tensors.items() if tensor.numel() < 1000}
    monkeypatch.setattr(checks, "_not_finite", lambda _, names: names[0])
    with pytest.raises(CheckpointError, match="NaN or an infinite value"):
        open_checkpoint(str(folder), has_seen=lambda _: True)


def test_an_edit_that_a_fingerprint_misses_makes_another_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    convert(str(OWN_GOLDEN / "x2-l2"), folder)
    path = folder / "model.safetensors"
    before, tensors = open_checkpoint(str(folder)), load_file(path)
    tensors["lang_encoder.lm_head.weight"][0, 1] += 1.0
    save_file(tensors, path)
    after = open_checkpoint(str(folder))
    assert after.fingerprint == before.fingerprint
    assert after.identity != before.identity


def test_another_activation_makes_another_checkpoint_of_the_same_weights() -> None:
    """Its factor is folded into weights."""
    checkpoint = open_checkpoint("random:pheye-micro")
    config = checkpoint.config
    other = replace(config, vision=replace(config.vision, activation="gelu_new"))
    assert replace(checkpoint, config=replace(config, name="renamed")).identity == checkpoint.identity
    assert replace(checkpoint, config=other).identity != checkpoint.identity
