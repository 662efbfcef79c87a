"""Configurations: derived sizes, and refusals that name the key."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from model.config import GEOMETRIES, ConfigError, named_geometry
from model.layout import ADAPTER_RANKS, adapters, is_trained, tensor_shapes


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
