"""Vision encoder with gradients: tiles of whole batches in, features out, the two LoRA adapters side by side.

The same function as `NaiveVision.forward` on the same parameters, without peft's switching of adapters, which turns
gradients off and cannot be recomputed in a backward pass. Knows no text and no loss. Called by the training process's
main thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from model.config import PheyeConfig
from model.network.layers import ACTIVATIONS, join_heads, split_heads
from model.pixels.tiles import CLIP_MEAN, CLIP_STD
from model.training.passes.attention import attend
from model.training.passes.lora import adapted_linear

Layer = Callable[..., Tensor]


def linear(x: Tensor, weights: Mapping[str, Tensor], name: str, adapter: str | None = None) -> Tensor:
    """Apply a named linear layer, with or without an adapter: [..., in] -> [..., out] in the dtype of `x`."""
    if adapter is None:
        bias = weights.get(f"{name}.bias")
        return F.linear(x, weights[f"{name}.weight"].to(x.dtype), None if bias is None else bias.to(x.dtype))
    down, up = weights[f"{name}.lora_A.{adapter}.weight"], weights[f"{name}.lora_B.{adapter}.weight"]
    base, bias = weights[f"{name}.base_layer.weight"], weights.get(f"{name}.base_layer.bias")
    flat = adapted_linear(x.flatten(0, -2), base.flatten(1), bias, down.flatten(1), up.flatten(1))
    return flat.view(*x.shape[:-1], -1)


def layer_norm(x: Tensor, weights: Mapping[str, Tensor], name: str, eps: float = 1e-5) -> Tensor:
    """Apply a named layer norm over the last axis, in the dtype of `x`."""
    scale, shift = weights[f"{name}.weight"].to(x.dtype), weights[f"{name}.bias"].to(x.dtype)
    return F.layer_norm(x, scale.shape, scale, shift, eps)


def under(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the weights whose names begin with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}


def vision_layer(
    x: Tensor, weights: Mapping[str, Tensor], adapter: str | None, heads: int, activation: str, eps: float
) -> Tensor:
    """Apply one layer of CLIP's transformer: [n, tokens, D] -> [n, tokens, D]."""
    base = "" if adapter else ".base_layer"
    normed = layer_norm(x, weights, "layer_norm1", eps)
    q, k, v = (
        split_heads(linear(normed, weights, f"self_attn.{name}{base}", adapter), heads)
        for name in ("q_proj", "k_proj", "v_proj")
    )
    seen = join_heads(attend(q, k, v))
    x = x + linear(seen, weights, f"self_attn.out_proj{base}", adapter)
    inner = linear(layer_norm(x, weights, "layer_norm2", eps), weights, f"mlp.fc1{base}", adapter)
    return x + linear(ACTIVATIONS[activation](inner), weights, f"mlp.fc2{base}", adapter)


class VisionPass:
    """Forward pass of the encoder over parameters that may change between calls.

    Args:
        weights: parameters under `vision_encoder.`, by the rest of their names; read at every call.
        config: the geometry.
        layer: `vision_layer`, or a compiled version of it.
        recompute: keep only each layer's input for the backward pass, and compute the layer again there.
    """

    def __init__(
        self, weights: Mapping[str, Tensor], config: PheyeConfig, layer: Layer = vision_layer, recompute: bool = False
    ) -> None:
        self._v = config.vision
        self._global_adapter = "first" if config.first_level else None
        self._own = dict(weights)
        tower = under(weights, "vision_model.base_model.model.")
        self._embeddings, self._pre_norm = under(tower, "embeddings."), under(tower, "pre_layrnorm.")
        self._layers = [under(tower, f"encoder.layers.{index}.") for index in range(self._v.layers)]
        self._layer, self._recompute = layer, recompute

    def __call__(self, tiles: Tensor, dtype: torch.dtype) -> Tensor:
        """Encode tiles of images, uint8 [B, N, S, S, 3] -> features [B, N * tokens, D] in `dtype`."""
        pixels = patches(tiles, self._v.patch_px, dtype)  # [B, N, patches, 3 * p * p]
        whole = layer_norm(self._tower(pixels[:, 0], self._global_adapter), self._own, "norm_lvl_1")
        views = whole.unsqueeze(1)  # [B, 1, tokens, D]
        if tiles.shape[1] > 1:  # the global view alone is what ablations call level 1
            local = layer_norm(self._tower(pixels[:, 1:].flatten(0, 1), "second"), self._own, "norm_lvl_2")
            views = torch.cat([views, local.view(len(tiles), -1, *whole.shape[1:])], dim=1)
        positions = self._own["connector.embedding.weight"][: tiles.shape[1]].to(dtype)
        return (views + positions[None, :, None]).flatten(1, 2)

    def _tower(self, patches: Tensor, adapter: str | None) -> Tensor:
        name = "patch_embedding" if adapter else "patch_embedding.base_layer"
        embedded = linear(patches, self._flat_patch(adapter), name, adapter)
        cls = self._embeddings["class_embedding"].to(embedded.dtype).expand(len(embedded), 1, -1)
        x = torch.cat([cls, embedded], dim=1) + self._embeddings["position_embedding.weight"].to(embedded.dtype)
        x = layer_norm(x, {f"norm.{name}": tensor for name, tensor in self._pre_norm.items()}, "norm", self._v.eps)
        for weights in self._layers:
            given = (x, weights, adapter, self._v.heads, self._v.activation, self._v.eps)
            x = checkpoint(self._layer, *given, use_reentrant=False) if self._recompute else self._layer(*given)
        return x

    def _flat_patch(self, adapter: str | None) -> dict[str, Tensor]:
        if adapter:
            return self._embeddings
        name = "patch_embedding.base_layer.weight"
        return {name: self._embeddings[name].flatten(1)}


def patches(tiles: Tensor, patch_px: int, dtype: torch.dtype) -> Tensor:
    """Normalise tiles as CLIP does, uint8 [B, N, S, S, 3] -> [B, N, patches, 3 * p * p], channel outermost."""
    mean, std = (torch.tensor(constant, device=tiles.device) for constant in (CLIP_MEAN, CLIP_STD))
    pixels = (tiles.float() / 255 - mean) / std
    batch, count, side, _, _ = tiles.shape
    grid = side // patch_px
    blocks = pixels.view(batch, count, grid, patch_px, grid, patch_px, 3).permute(0, 1, 2, 4, 6, 3, 5)
    return blocks.reshape(batch, count, grid * grid, 3 * patch_px * patch_px).to(dtype)
