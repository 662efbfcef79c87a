"""The vision encoder: tiles of one resolution in, features of the CLIP transformer out (arXiv 2501.02584, section 2.1).

Owns the two weight sets made by merging each LoRA adapter into the frozen transformer, the level norms and the tile
positions. Knows no requests and no cache. Called by the engine's thread only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from model.config import PheyeConfig, VisionGeometry
from model.network.layers import ACTIVATIONS, LORA_SCALE, LayerNorm, Weights, join_heads, split_heads
from model.network.linear import Linear
from model.tiles import CLIP_MEAN, CLIP_STD

_CHUNK_TOKENS = (
    320  # of tiles that a CPU takes through a layer together: what lies between its products fits its caches
)

GLOBAL_ADAPTER = "first"
LOCAL_ADAPTER = "second"


def _merged(weights: Weights, adapter: str | None) -> Tensor:
    """W + 2 B A in float32, then cast: the adapter costs nothing at run time."""
    base = weights.stored("base_layer.weight")
    if adapter is None:
        return weights.ready(base)
    down = weights.stored(f"lora_A.{adapter}.weight").flatten(1).float()  # [r, in]
    up = weights.stored(f"lora_B.{adapter}.weight").flatten(1).float()  # [out, r]
    return weights.ready(base.float() + LORA_SCALE * (up @ down).view_as(base))


def _adapted(weights: Weights, adapter: str | None, *names: str) -> Linear:
    """The layers of these names side by side, each with its adapter merged in."""
    layers = [weights.at(name) for name in names]
    weight = torch.cat([_merged(layer, adapter) for layer in layers])
    return weights.fastest(weight, torch.cat([layer.tensor("base_layer.bias") for layer in layers]))


@dataclass(slots=True)
class _Layer:
    norm1: LayerNorm
    qkv: Linear
    out: Linear
    norm2: LayerNorm
    fc1: Linear
    fc2: Linear

    @classmethod
    def load(cls, weights: Weights, adapter: str | None, eps: float) -> _Layer:
        attention, mlp = weights.at("self_attn"), weights.at("mlp")
        return cls(
            norm1=LayerNorm.load(weights.at("layer_norm1"), eps),
            qkv=_adapted(attention, adapter, "q_proj", "k_proj", "v_proj"),
            out=_adapted(attention, adapter, "out_proj"),
            norm2=LayerNorm.load(weights.at("layer_norm2"), eps),
            fc1=_adapted(mlp, adapter, "fc1"),
            fc2=_adapted(mlp, adapter, "fc2"),
        )


class VisionTower:
    """The CLIP vision transformer with one adapter merged in."""

    def __init__(self, weights: Weights, geometry: VisionGeometry, adapter: str | None) -> None:
        embeddings = weights.at("embeddings")
        self._heads = geometry.heads
        self._patch_px = geometry.patch_px
        self._activation = ACTIVATIONS[geometry.activation]
        self._patch = weights.fastest(_merged(embeddings.at("patch_embedding"), adapter).flatten(1), None)
        self._cls = embeddings.tensor("class_embedding")
        self._positions = embeddings.tensor("position_embedding.weight")
        self._pre_norm = LayerNorm.load(weights.at("pre_layrnorm"), geometry.eps)
        layers = weights.at("encoder", "layers")
        self._layers = [_Layer.load(layers.at(index), adapter, geometry.eps) for index in range(geometry.layers)]

    def __call__(self, pixels: Tensor) -> Tensor:
        """Normalised pixels [n, 3, S, S] -> the last hidden state [n, 1 + patches, D], CLS first, no post norm.

        Tiles do not see one another, so that a CPU may take few at a time.
        """
        together = max(1, _CHUNK_TOKENS // len(self._positions)) if pixels.device.type == "cpu" else len(pixels)
        return torch.cat([self._encode(part) for part in torch.split(pixels, together)])

    def _encode(self, pixels: Tensor) -> Tensor:
        x = self._patch(self._patches(pixels))  # [n, patches, D]
        cls = self._cls.expand(x.shape[0], 1, -1)
        x = self._pre_norm(torch.cat([cls, x], dim=1) + self._positions)
        for layer in self._layers:
            q, k, v = (split_heads(part, self._heads) for part in layer.qkv(layer.norm1(x)).chunk(3, dim=-1))
            x = layer.out(join_heads(F.scaled_dot_product_attention(q, k, v))).add_(x)
            x = layer.fc2(self._activation(layer.fc1(layer.norm2(x)))).add_(x)
        return x

    def _patches(self, pixels: Tensor) -> Tensor:
        """[n, 3, S, S] -> [n, patches, 3 * p * p]: a strided convolution without overlap is one matrix product."""
        n, channels, side, _ = pixels.shape
        grid, p = side // self._patch_px, self._patch_px
        blocks = pixels.view(n, channels, grid, p, grid, p).permute(0, 2, 4, 1, 3, 5)
        return blocks.reshape(n, grid * grid, channels * p * p)


class VisionEncoder:
    """Tiles to features: one tower per adapter, the norm of each level, and the position of each tile."""

    def __init__(self, weights: Weights, config: PheyeConfig) -> None:
        towers = weights.at("vision_model", "base_model", "model")
        self._local = VisionTower(towers, config.vision, LOCAL_ADAPTER)
        self._global = VisionTower(towers, config.vision, GLOBAL_ADAPTER if config.first_level else None)
        self._global_norm = LayerNorm.load(weights.at("norm_lvl_1"), eps=1e-5)
        self._local_norm = LayerNorm.load(weights.at("norm_lvl_2"), eps=1e-5)
        self._tile_positions = weights.tensor("connector.embedding.weight")  # [21, D]
        mean, std = (torch.tensor(c, device=weights.device).view(1, 3, 1, 1) for c in (CLIP_MEAN, CLIP_STD))
        self._mean, self._std, self._dtype = mean, std, weights.dtype

    def pixels(self, tiles: Tensor) -> Tensor:
        """uint8 [n, S, S, 3] -> CLIP's normalised pixels [n, 3, S, S] in the compute dtype."""
        scaled = tiles.permute(0, 3, 1, 2).float() / 255
        return ((scaled - self._mean) / self._std).to(self._dtype)

    def encode_global(self, tiles: Tensor) -> Tensor:
        """Global views, uint8 [n, S, S, 3] -> features [n, tokens, D]."""
        return self._global_norm(self._global(self.pixels(tiles))) + self._tile_positions[0]

    def encode_local(self, tiles: Tensor, indices: Tensor) -> Tensor:
        """Local tiles, uint8 [n, S, S, 3], with their index in the image (1 and up) [n] -> features [n, tokens, D]."""
        return self._local_norm(self._local(self.pixels(tiles))) + self._tile_positions[indices].unsqueeze(1)
