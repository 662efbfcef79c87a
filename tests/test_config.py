"""Configurations: derived sizes, and refusals that name the key."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model.config import (
    GEOMETRIES,
    ConfigError,
    decoder_geometry,
    named_geometry,
    read_checkpoint_keys,
    vision_geometry,
)
from model.layout import ADAPTER_RANKS, adapters, is_trained, tensor_shapes
from tests.conftest import OWN_GOLDEN

KEYS = json.loads((OWN_GOLDEN / "x2-l2" / "config.json").read_text())


@pytest.mark.parametrize(
    ("name", "tokens", "layers"),
    [("Pheye-x4-448", 1285, 6), ("Pheye-x4-672", 2570, 6), ("Pheye-x2-448", 1285, 12), ("Pheye-x2-672", 2570, 12)],
)
def test_published_geometries_have_the_published_sizes(name: str, tokens: int, layers: int) -> None:
    config = named_geometry(name)
    assert config.image_tokens == tokens
    assert len(config.cross_layers) == layers
    assert config.image_px == int(name[-3:])


@pytest.mark.parametrize(("interval", "trained"), [(4, 295_136_192), (2, 578_411_456)], ids=["x4", "x2"])
def test_trained_parameters_are_the_published_295m_and_578m(interval: int, trained: int) -> None:
    for size in (448, 672):
        config = GEOMETRIES[f"Pheye-x{interval}-{size}"]
        shapes = tensor_shapes(config, {adapter: ADAPTER_RANKS[adapter] for adapter in adapters(config)})
        assert sum(math.prod(shape) for name, shape in shapes.items() if is_trained(name)) == trained


def test_from_layer_leaves_the_first_layers_without_cross_attention() -> None:
    config = replace(GEOMETRIES["Pheye-x2-448"], from_layer=12)
    assert config.cross_layers == (13, 15, 17, 19, 21, 23)


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"level": 4}, "level: 4 is not 2 or 3"),
        ({"reduce": 0}, "reduce"),
        ({"reduce": 7}, "reduce"),
        ({"from_layer": 99}, "from_layer"),
    ],
    ids=["level", "reduce 0", "reduce that does not divide", "no cross-attention left"],
)
def test_impossible_geometries_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(GEOMETRIES["Pheye-x2-448"], **changes)


def test_an_unknown_geometry_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="Pheye-x4-448"):
        named_geometry("Pheye-x3-448")


def test_missing_values_of_hub_configs_are_the_libraries_defaults() -> None:
    assert vision_geometry({"model_type": "clip_vision_model"}, "here").activation == "quick_gelu"
    phi = decoder_geometry({"model_type": "phi"}, "here")
    assert (phi.rotary_width, phi.rope_theta, phi.heads) == (32, 10000.0, 32)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"model_type": "llama"}, "here: model_type 'llama'"),
        ({"model_type": "phi", "qk_layernorm": True}, "qk_layernorm"),
        ({"model_type": "phi", "num_key_value_heads": 4}, "key/value heads"),
        ({"model_type": "phi", "rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_type"),
    ],
    ids=["another model", "query norms", "grouped heads", "scaled positions"],
)
def test_decoders_that_are_not_supported_are_refused_by_key(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        decoder_geometry(raw, "here")
