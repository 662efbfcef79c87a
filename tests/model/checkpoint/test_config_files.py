"""Config files: strict keys, and the hub configs that are served."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model.checkpoint import config_files
from model.checkpoint.config_files import decoder_geometry, read_checkpoint_keys, vision_geometry
from model.checkpoint.sources import EMBEDDED
from model.config import ConfigError
from tests.support.golden import OWN_GOLDEN

KEYS = json.loads((OWN_GOLDEN / "x2-l2" / "config.json").read_text())


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({key: value for key, value in (KEYS | changes).items() if value is not None}))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": 1}, "unknown key 'colour'"),
        ({"level": None}, "'level' is missing"),
        ({"level": "2"}, "level: '2' is not of type int"),
        ({"first_level": 1}, "first_level: 1 is not of type bool"),
        ({"encoder_dtype": "torch.int4"}, r"encoder_dtype: 'torch.int4' is not one of"),
        ({"decoder_dtype": "__import__('os').abort()"}, "decoder_dtype: .* is not one of"),
    ],
    ids=["unknown key", "missing key", "wrong type", "number for a flag", "unknown dtype", "code for a dtype"],
)
def test_a_wrong_key_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_checkpoint_keys(write(tmp_path, **changes))


@pytest.mark.parametrize("content", ["{", "[]"], ids=["not JSON", "not an object"])
def test_a_config_that_is_not_a_json_object_is_refused_with_its_path(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=r"config\.json"):
        read_checkpoint_keys(tmp_path / "config.json")


def test_missing_values_of_hub_configs_are_the_libraries_defaults() -> None:
    assert vision_geometry({"model_type": "clip_vision_model"}, "here").activation == "quick_gelu"
    phi = decoder_geometry({"model_type": "phi"}, "here")
    assert (phi.rotary_width, phi.rope_theta, phi.heads) == (32, 10000.0, 32)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_a_config_that_states_all_is_read_without_the_library_and_as_the_library_reads_it(
    monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    raw = json.loads((EMBEDDED["pheye-tiny"] / part / "config.json").read_text())
    read = vision_geometry if part == "encoder" else decoder_geometry
    by_library = config_files._by_library
    with monkeypatch.context() as patch:
        patch.setattr(config_files, "_states_all", lambda *_: False)
        expected = read(raw, "here")  # type: ignore[operator]
    monkeypatch.setattr(config_files, "_by_library", lambda *_: pytest.fail("the library was asked"))
    assert read(raw, "here") == expected  # type: ignore[operator]
    monkeypatch.setattr(config_files, "_by_library", by_library)
    raw.pop("layer_norm_eps")
    assert replace(read(raw, "here"), eps=expected.eps) == expected  # type: ignore[operator]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"model_type": "llama"}, "here: model_type 'llama'"),
        ({"model_type": "phi", "qk_layernorm": True}, "qk_layernorm"),
        ({"model_type": "phi", "num_key_value_heads": 4}, "key/value heads"),
        ({"model_type": "phi", "rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_type"),
        ({"model_type": "phi", "partial_rotary_factor": 0.4}, "partial_rotary_factor: 0.4 of a head makes 25 rotary"),
    ],
    ids=["another model", "query norms", "grouped heads", "scaled positions", "odd channels"],
)
def test_decoders_that_are_not_supported_are_refused_by_key(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        decoder_geometry(raw, "here")
