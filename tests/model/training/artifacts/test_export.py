"""Exported folders: what was trained comes back, in our layout and in the published one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from model.checkpoint.checkpoint import Checkpoint, open_checkpoint
from model.checkpoint.sources import CheckpointError
from model.layout import is_trained
from model.training.artifacts.export import Trained, export, export_published
from tests.support.golden import OWN_GOLDEN
from tests.support.small_model import small_checkpoint

LAYOUTS = pytest.mark.parametrize("write", [export, export_published], ids=["ours", "published"])


def trained(own: Checkpoint | None = None) -> Trained:
    own = own or small_checkpoint()
    return Trained(own.config, own.ranks, own.tensors, own.tokenizer, {"commit": "abc", "seed": 3})


@LAYOUTS
def test_what_was_written_is_opened_strictly_and_is_the_same(tmp_path: Path, write: type[export]) -> None:
    own = small_checkpoint()
    write(trained(own), tmp_path / "model")
    found = open_checkpoint(str(tmp_path / "model"))
    assert replace(found.config, name="small") == own.config
    assert found.ranks == own.ranks
    assert all(torch.equal(tensor, own.tensors[name]) for name, tensor in found.tensors.items())
    assert found.tokenizer.encode("Why? naïve") == own.tokenizer.encode("Why? naïve")
    assert found.tokenizer.eos_id == own.tokenizer.eos_id
    for file in (path for path in (tmp_path / "model").rglob("*") if path.is_file()):
        assert file.stat().st_mode & 0o044 == 0o044, f"{file.name} can be read by its owner alone"


def test_a_published_checkpoint_comes_back_with_its_geometry_and_tokenizer(tmp_path: Path) -> None:
    own = open_checkpoint(str(OWN_GOLDEN / "x2-l2"))
    export(trained(own), tmp_path / "x2-l2")
    found = open_checkpoint(str(tmp_path / "x2-l2"))
    assert found.config == own.config
    assert found.fingerprint == own.fingerprint
    assert found.tokenizer.encode("What is this?") == own.tokenizer.encode("What is this?")


def test_the_published_layout_has_the_original_s_names_and_stores_no_tensor_twice(tmp_path: Path) -> None:
    own = open_checkpoint(str(OWN_GOLDEN / "x2-l2"))
    export_published(trained(own), tmp_path / "x2-l2", "float32")
    state, original = (
        torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (tmp_path / "x2-l2", OWN_GOLDEN / "x2-l2")
    )
    assert state.keys() == original.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in original.items())
    canonical = sum(tensor.nbytes for tensor in own.tensors.values())
    assert (tmp_path / "x2-l2" / "checkpoint.pt").stat().st_size < 1.2 * canonical


@LAYOUTS
def test_a_dtype_asked_for_is_every_tensor_s_and_the_configuration_s(tmp_path: Path, write: type[export]) -> None:
    write(trained(), tmp_path / "model", "bfloat16")
    found = open_checkpoint(str(tmp_path / "model"))
    assert {tensor.dtype for tensor in found.tensors.values()} == {torch.bfloat16}
    config = found.config
    assert {config.encoder_dtype, config.decoder_dtype, config.other_params_dtype} == {"bfloat16"}


def test_without_a_dtype_frozen_tensors_stay_as_they_are_and_trained_ones_take_the_configuration_s(
    tmp_path: Path,
) -> None:
    own = small_checkpoint()
    half = {name: tensor if is_trained(name) else tensor.half() for name, tensor in own.tensors.items()}
    config = replace(own.config, other_params_dtype="bfloat16")
    export(trained(replace(own, tensors=half, config=config)), tmp_path / "model")
    for name, tensor in open_checkpoint(str(tmp_path / "model")).tensors.items():
        assert tensor.dtype == (torch.bfloat16 if is_trained(name) else torch.float16)


def test_how_the_weights_were_made_stands_beside_them_and_in_them(tmp_path: Path) -> None:
    export(trained(), tmp_path / "model")
    assert json.loads((tmp_path / "model" / "training.json").read_text()) == {"commit": "abc", "seed": 3}
    with safe_open(tmp_path / "model" / "model.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["pheye"]) == {"commit": "abc", "seed": 3}


def test_a_folder_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="exists already"):
        export(trained(), tmp_path)


def test_a_missing_tensor_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    own = small_checkpoint()
    tensors = {name: tensor for name, tensor in own.tensors.items() if name != "lang_encoder.lm_head.bias"}
    with pytest.raises(CheckpointError, match=r"tensor lang_encoder.lm_head.bias is missing"):
        export(trained(replace(own, tensors=tensors)), tmp_path / "model")
    assert not list(tmp_path.iterdir())
