"""Vision encoder: tiles of one resolution in, features of the CLIP transformer out (arXiv 2501.02584, section 2.1).

Owns the two weight sets made by merging each LoRA adapter into the frozen transformer, the level norms and the tile
positions. Knows no requests and no cache. Called by the engine's thread only.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from model.config import PheyeConfig, VisionGeometry
from model.network.compiled.compilation.background import CompiledCode
from model.network.compiled.loops.sizes import HEAD_CHANNELS, LEAST_TOKENS, PANEL
from model.network.compiled.parts import TowerLayer
from model.network.fused import add_norm, folded
from model.network.layers import LORA_SCALE, LayerNorm, Weights
from model.network.linear import Linear, PackedLinear, PlainLinear, repacks
from model.network.patches import Patches

if TYPE_CHECKING:
    from model.network.compiled_tower import CompiledTower, LargeCompiledTower

_WHOLE = PlainLinear, PackedLinear  # linear layers whose weights are not rounded
_SMALL_WIDTH = 256  # up to which a tile and a layer's weights stay in a core's cache while it is encoded
# Of tiles that a CPU takes through a layer together: what lies between its products fits its caches.
_CHUNK_TOKENS = 450
_CHUNK_TOKENS_REPACKED = 800  # likewise, where every product also lays its weights out anew
_TILES_COMPILED = 16  # that a large compiled tower takes together; it takes some tokens at a time by itself


def compiles_tower(geometry: VisionGeometry, device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether compiled code is the faster one for a tower: on processors whose widest vectors are AVX2's.

    All of its layers, or attention alone where their weights are rounded.

    It has not been measured on others.
    """
    is_known = geometry.width // geometry.heads % HEAD_CHANNELS == 0 and geometry.tokens_per_tile >= LEAST_TOKENS
    is_there = device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2"
    return dtype == torch.float32 and is_known and is_there


GLOBAL_ADAPTER = "first"
LOCAL_ADAPTER = "second"


def merged(weights: Weights, adapter: str | None, factor: float = 1.0) -> Tensor:
    """Merge a LoRA adapter into the layer below, factor * (W + 2 B A) in float32, then cast: free at run time."""
    whole = weights.stored("base_layer.weight")
    if adapter is not None:
        down = weights.stored(f"lora_A.{adapter}.weight").flatten(1).float()  # [r, in]
        up = weights.stored(f"lora_B.{adapter}.weight").flatten(1).float()  # [out, r]
        whole = (up @ down).mul_(LORA_SCALE).view_as(whole).add_(whole)  # in place: fresh memory costs more than sums
    if factor != 1.0:
        whole = whole.mul_(factor) if adapter is not None else whole.float() * factor
    return weights.ready(whole)


def _adapted(weights: Weights, adapter: str | None, *names: str) -> Linear:
    """Put the layers of these names side by side, each with its LoRA adapter merged in."""
    layers = [weights.at(name) for name in names]
    return weights.fastest(
        f"{'+'.join(names)} of {adapter}",
        lambda: torch.cat([merged(layer, adapter) for layer in layers]),
        torch.cat([layer.tensor("base_layer.bias") for layer in layers]),
    )


def _around(activation_factor: float, mlp: Weights, adapter: str | None) -> tuple[Linear, Linear]:
    """Return the layers on either side of an activation, with its factor in the first and out of the second."""
    first, second = mlp.at("fc1"), mlp.at("fc2")
    bias = first.ready(activation_factor * first.stored("base_layer.bias").float())
    own = f"of {adapter}"
    return (
        first.fastest(own, lambda: merged(first, adapter, activation_factor), bias),
        second.fastest(own, lambda: merged(second, adapter, 1 / activation_factor), second.tensor("base_layer.bias")),
    )


@dataclass(slots=True)
class _Layer:
    norm1: LayerNorm
    qkv: Linear
    out: Linear
    norm2: LayerNorm
    fc1: Linear
    fc2: Linear

    @classmethod
    def load(cls, weights: Weights, adapter: str | None, eps: float, activation_factor: float) -> _Layer:
        attention = weights.at("self_attn")
        fc1, fc2 = _around(activation_factor, weights.at("mlp"), adapter)
        return cls(
            norm1=LayerNorm.load(weights.at("layer_norm1"), eps),
            qkv=_adapted(attention, adapter, "q_proj", "k_proj", "v_proj"),
            out=_adapted(attention, adapter, "out_proj"),
            norm2=LayerNorm.load(weights.at("layer_norm2"), eps),
            fc1=fc1,
            fc2=fc2,
        )

    def parts(self) -> TowerLayer | None:
        """Return the weights for compiled layers; None if they are rounded, or have odd widths."""
        linears = [each for each in (self.qkv, self.out, self.fc1, self.fc2) if isinstance(each, _WHOLE)]
        if len(linears) < 4:
            return None
        weights = [layer.weight for layer in linears]
        if any(size % PANEL for weight in weights for size in weight.shape):
            return None
        qkv, out, fc1, fc2 = zip(weights, (cast("Tensor", layer.bias) for layer in linears), strict=True)
        first, second = ((norm.weight, norm.bias) for norm in (self.norm1, self.norm2))
        return TowerLayer(*first, *qkv, *out, *second, *fc1, *fc2)


class VisionTower:
    """CLIP vision transformer with one LoRA adapter merged in, and the norm behind it.

    Args:
        weights: of the transformer.
        geometry: its sizes.
        adapter: which is merged in; none if not given.
        patches: what tiles are cut by.
        norm: of the last hidden state.
        code: what prepares compiled code; none where it would not be used.
    """

    def __init__(
        self,
        weights: Weights,
        geometry: VisionGeometry,
        adapter: str | None,
        patches: Patches,
        norm: LayerNorm,
        code: CompiledCode | None = None,
    ) -> None:
        is_faster = compiles_tower(geometry, weights.device, weights.dtype)
        self._code = code if is_faster else None
        self._geometry = geometry
        embeddings = weights.at("embeddings")
        self._heads = geometry.heads
        self._activate_, factor = folded(geometry.activation, weights.device)
        self._patches = patches

        def patch() -> Tensor:
            kernels = merged(embeddings.at("patch_embedding"), adapter).flatten(1)
            return F.pad(kernels, (0, patches.width - kernels.shape[1]))

        self._patch = embeddings.fastest(f"patch_embedding of {adapter}", patch, None)
        self._cls = embeddings.tensor("class_embedding")
        self._positions = embeddings.tensor("position_embedding.weight")
        self._pre_norm = LayerNorm.load(weights.at("pre_layrnorm"), geometry.eps)
        layers = weights.at("encoder", "layers")
        self._layers = [
            _Layer.load(layers.at(index), adapter, geometry.eps, factor) for index in range(geometry.layers)
        ]
        chunk = _CHUNK_TOKENS_REPACKED if repacks(self._patch) else _CHUNK_TOKENS
        self._together = max(1, chunk // len(self._positions))
        self._norms = [*(layer.norm1 for layer in self._layers), norm]
        self._activation = geometry.activation if factor == 1.0 else "silu"
        self._is_compiled = self._code is not None and self._layers[0].parts() is not None
        self._is_small = geometry.width <= _SMALL_WIDTH
        self._making = threading.Lock()
        self._compiled_layers: CompiledTower | LargeCompiledTower | None = None

    def __call__(self, tiles: Tensor) -> Tensor:
        """Encode tiles, uint8 [n, S, S, 3], to the normalised last hidden state [n, 1 + patches, D], CLS first.

        Tiles do not see one another, so that a CPU may take few at a time.
        """
        together = _TILES_COMPILED if self._is_compiled_now and not self._is_small else self._together
        if tiles.device.type != "cpu" or len(tiles) <= together:
            return self._encode(tiles)
        parts = -(-len(tiles) // together)
        return torch.cat([self._encode(part) for part in torch.tensor_split(tiles, parts)])

    def _encode(self, tiles: Tensor) -> Tensor:
        n = len(tiles)
        x = self._patch(self._patches(tiles))  # [n, patches, D]
        x = torch.cat([self._cls.expand(n, 1, -1), x], dim=1) + self._positions
        x = self._pre_norm(x).flatten(0, 1)  # [n * tokens, D]
        layers = tuple(self._layers)  # before another thread may take them over, which it does once the code is ready
        if self._is_compiled_now:
            layers = ()  # which would hold the weights while they are copied
            return self._compiled()(x, n).view(n, -1, x.shape[-1])
        normed = self._norms[0](x)
        # Each sum is taken together with the norm that follows it, which is the next layer's.
        for layer, norm in zip(layers, self._norms[1:], strict=True):
            seen = layer.out(self._attend(layer.qkv(normed), n))
            normed = add_norm(x, seen, layer.norm2.weight, layer.norm2.bias, layer.norm2.eps)
            inner = layer.fc2(self._activate_(layer.fc1(normed)))
            normed = add_norm(x, inner, norm.weight, norm.bias, norm.eps)
        return normed.view(n, -1, normed.shape[-1])

    @property
    def _is_compiled_now(self) -> bool:
        return self._is_compiled and self._code is not None and self._code.ready

    def _compiled(self) -> CompiledTower | LargeCompiledTower:
        """Return the layers as one compiled call, which takes over their weights."""
        with self._making:  # two threads may encode at once
            if self._compiled_layers is None:
                from model.network.compiled_tower import CompiledTower, LargeCompiledTower

                form, geometry = CompiledTower if self._is_small else LargeCompiledTower, self._geometry
                rules = self._heads, geometry.mlp_width, self._activation, geometry.eps, self._norms[-1]
                self._compiled_layers = form(*rules)
            while self._layers:  # one after the other, so that memory that runs out between them loses none
                self._compiled_layers.add(cast("TowerLayer", self._layers[0].parts()))
                del self._layers[0]
            return self._compiled_layers

    def _attend(self, qkv: Tensor, n: int) -> Tensor:
        """Attend within each tile, [n * tokens, 3 * D] -> [n * tokens, D]; nothing is copied.

        Torch's fused attention reads heads that lie side by side, and writes them as it reads them.
        """
        if self._code is not None and self._code.ready:
            from model.network.compiled.vision.tower_attention import attend_within_tiles

            return attend_within_tiles(qkv, n, self._heads)
        parts = qkv.view(n, -1, 3, self._heads, qkv.shape[-1] // (3 * self._heads))
        q, k, v = parts.permute(2, 0, 3, 1, 4)  # [n, H, tokens, d]
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(len(qkv), -1)


class VisionEncoder:
    """Encoder from tiles to features: one tower per adapter, the norm of each level, and the position of each tile."""

    def __init__(self, weights: Weights, config: PheyeConfig, code: CompiledCode | None = None) -> None:
        towers = weights.at("vision_model", "base_model", "model")
        self.patches = Patches(config.vision.patch_px, weights.device, weights.dtype)
        local_norm, global_norm = (LayerNorm.load(weights.at(f"norm_lvl_{level}"), eps=1e-5) for level in (2, 1))
        self._local = VisionTower(towers, config.vision, LOCAL_ADAPTER, self.patches, local_norm, code)
        global_adapter = GLOBAL_ADAPTER if config.first_level else None
        self._global = VisionTower(towers, config.vision, global_adapter, self.patches, global_norm, code)
        self._tile_positions = weights.tensor("connector.embedding.weight")  # [21, D]

    def encode_global(self, tiles: Tensor) -> Tensor:
        """Encode global views, uint8 [n, S, S, 3] -> features [n, tokens, D] without the position of a tile."""
        return self._global(tiles)

    def encode_local(self, tiles: Tensor) -> Tensor:
        """Encode local tiles, uint8 [n, S, S, 3] -> features [n, tokens, D] without the position of a tile."""
        return self._local(tiles)

    def placed(self, tiles: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
        """Add each tile's position to the features of an image's tiles, N times [tokens, D] -> [N * tokens, D]."""
        first, *_ = tiles
        out = torch.empty((len(tiles), *first.shape), dtype=dtype, device=self._tile_positions.device)
        for place, (tile, position) in enumerate(zip(tiles, self._tile_positions, strict=False)):
            torch.add(tile.to(out.device, dtype), position, out=out[place])
        return out.flatten(0, 1)
