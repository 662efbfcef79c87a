"""Configuration of a Pheye checkpoint: its geometry, and the geometries that have names.

Owns every derived size (tiles, image tokens, which layers have cross-attention). Knows neither tensors nor files (those
are read in `model/checkpoint/config_files.py`). Safe from any thread or process.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

DTYPES = ("float32", "float16", "bfloat16")
TILE_POSITIONS = 21  # rows of the learned tile-position table, whatever the level; level 3 uses 10 of them
CROSS_HEAD_WIDTH = 64  # width of a cross-attention head before `reduce` shrinks it; it also sets the score scale


class ConfigError(ValueError):
    """Configuration that cannot be served; the message names the key and what would be accepted."""


@dataclass(frozen=True)
class VisionGeometry:
    """Geometry of the CLIP vision transformer that reads one tile (arXiv 2501.02584, section 2.1)."""

    width: int
    layers: int
    heads: int
    mlp_width: int
    tile_px: int
    patch_px: int
    activation: str
    eps: float

    @property
    def tokens_per_tile(self) -> int:
        """Number of tokens of one tile: its patches and its CLS token."""
        return (self.tile_px // self.patch_px) ** 2 + 1


@dataclass(frozen=True)
class DecoderGeometry:
    """Geometry of the Phi language model."""

    width: int
    layers: int
    heads: int
    mlp_width: int
    vocab_size: int
    max_positions: int
    rotary_width: int
    rope_theta: float
    activation: str
    eps: float

    @property
    def head_width(self) -> int:
        """Width of one self-attention head."""
        return self.width // self.heads


@dataclass(frozen=True)
class PheyeConfig:
    """Configuration of one Pheye model: two geometries, and how cross-attention joins them.

    `level` is the number of local tiles along each side of the image: 2 for 2 x 2 (448 px), 3 for 3 x 3 (672 px).
    `first_level` says whether the global view has an adapter of its own.
    """

    name: str
    vision: VisionGeometry
    decoder: DecoderGeometry
    cross_interval: int
    level: int
    reduce: int = 1
    from_layer: int = 0
    first_level: bool = True
    encoder_dtype: str = "bfloat16"
    decoder_dtype: str = "bfloat16"
    other_params_dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        """Refuse values that could only fail later, and name the key."""
        if self.level not in (2, 3):
            raise ConfigError(f"level: {self.level} is not 2 or 3")
        for key in ("cross_interval", "reduce"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key}: {getattr(self, key)} is not a positive whole number")
        if not self.cross_layers:
            raise ConfigError("cross_interval: with this from_layer no decoder layer has cross-attention")
        if not self.cross_heads:
            raise ConfigError(f"hidden_size: less than {CROSS_HEAD_WIDTH}, the width of a cross-attention head")
        if self.from_layer < 0:
            raise ConfigError(f"from_layer: {self.from_layer} is negative")
        if not self.inner_width or not self.cross_mlp_width or self.inner_width % self.cross_heads:
            raise ConfigError(f"reduce: {self.inner_width} inner channels do not divide into {self.cross_heads} heads")

    @property
    def tiles(self) -> int:
        """Number of tiles an image is encoded as: the global view, then level x level local tiles."""
        return 1 + self.level**2

    @property
    def image_px(self) -> int:
        """Side of the square that the local tiles are cut from."""
        return self.level * self.vision.tile_px

    @property
    def image_tokens(self) -> int:
        """Number of vision tokens of one image, V."""
        return self.tiles * self.vision.tokens_per_tile

    @property
    def cross_layers(self) -> tuple[int, ...]:
        """Indices of the decoder layers that have a cross-attention block in front of them."""
        every = range(self.cross_interval - 1, self.decoder.layers, self.cross_interval)
        return tuple(layer for layer in every if layer >= self.from_layer)

    @property
    def cross_heads(self) -> int:
        """Number of heads of a cross-attention block."""
        return max(self.decoder.width, self.vision.width) // CROSS_HEAD_WIDTH

    @property
    def inner_width(self) -> int:
        """Width of queries, keys and values inside a cross-attention block."""
        return max(self.decoder.width, self.vision.width) // self.reduce

    @property
    def cross_mlp_width(self) -> int:
        """Inner width of the feed-forward half of a cross-attention block."""
        return 4 * self.decoder.width // self.reduce


VIT_H_14 = VisionGeometry(1280, 32, 16, 5120, tile_px=224, patch_px=14, activation="quick_gelu", eps=1e-5)
PHI_1_5 = DecoderGeometry(2048, 24, 32, 8192, 51200, 2048, 32, 10000.0, activation="gelu_new", eps=1e-5)
_TINY_VIT = VisionGeometry(128, 4, 4, 512, tile_px=96, patch_px=8, activation="quick_gelu", eps=1e-5)
_TINY_PHI = DecoderGeometry(192, 4, 6, 768, 640, 1024, 16, 10000.0, activation="gelu_new", eps=1e-5)
_MICRO_VIT = VisionGeometry(64, 2, 2, 256, tile_px=64, patch_px=8, activation="quick_gelu", eps=1e-5)
_MICRO_PHI = DecoderGeometry(128, 4, 4, 512, 1024, 1024, 16, 10000.0, activation="gelu_new", eps=1e-5)


def _published(name: str, interval: int, level: int) -> PheyeConfig:
    # The published 295M and 578M trainable parameters come out exactly with one adapter of rank 16 on the local tiles,
    # the original's default, and none on the global view (or with two of rank 8, as in the paper's appendix B.2; with
    # ranks 8 and 16 they would be 301M and 584M). The cost of serving is the same; a checkpoint says for itself.
    return PheyeConfig(name, VIT_H_14, PHI_1_5, interval, level, first_level=False)


def _small(name: str, vision: VisionGeometry, decoder: DecoderGeometry, interval: int, level: int) -> PheyeConfig:
    return PheyeConfig(
        name,
        vision,
        decoder,
        interval,
        level,
        encoder_dtype="float32",
        decoder_dtype="float32",
        other_params_dtype="float32",
    )


GEOMETRIES: Mapping[str, PheyeConfig] = {
    config.name: config
    for config in (
        _published("Pheye-x4-448", interval=4, level=2),
        _published("Pheye-x4-672", interval=4, level=3),
        _published("Pheye-x2-448", interval=2, level=2),
        _published("Pheye-x2-672", interval=2, level=3),
        _small("pheye-tiny", _TINY_VIT, _TINY_PHI, 1, level=3),  # the embedded model's
        _small("pheye-micro", _MICRO_VIT, _MICRO_PHI, 2, level=2),  # the least that has every part; tests run it
    )
}


def named_geometry(name: str) -> PheyeConfig:
    """Return the configuration of a published geometry, to be built with random weights.

    Raises:
        ConfigError: the name is unknown; the message lists the known ones.
    """
    if name not in GEOMETRIES:
        near = difflib.get_close_matches(name, GEOMETRIES, n=1, cutoff=0.8)
        hint = f"did you mean {near[0]}? Known" if near else "known"
        raise ConfigError(f"model: there is no geometry {name!r}; {hint} are {', '.join(GEOMETRIES)}")
    return GEOMETRIES[name]
