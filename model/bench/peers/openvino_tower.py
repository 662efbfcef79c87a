"""Vision tower as an OpenVINO graph, with a checkpoint's weights: OpenVINO as a peer of the vision encoder.

The graph is that of `model/network/vision.py` from normalised pixels on, one adapter merged in, in the operations that
OpenVINO's CPU plugin knows how to fuse. Needs `openvino` when a tower is built. One thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from model.checkpoint.checkpoint import CPU, Checkpoint
from model.config import VisionGeometry
from model.network.layers import Weights
from model.network.patches import Patches
from model.network.vision import LOCAL_ADAPTER, merged

if TYPE_CHECKING:
    from numpy.typing import NDArray

_QUICK = 1.702  # of CLIP's approximate GELU, x * sigmoid(1.702 x)
HINTS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoTower:
    """Tower for local tiles, compiled for a fixed number of them.

    Args:
        checkpoint: whose vision half is used.
        tiles: of one call.
        dtype: `float32` or `bfloat16`, in which it computes.
        threads: that compute.
    """

    def __init__(self, checkpoint: Checkpoint, tiles: int, dtype: str, threads: int) -> None:
        from openvino import Core

        options = {
            "INFERENCE_PRECISION_HINT": HINTS[dtype],
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
        }
        weights = Weights(checkpoint.tensors, CPU, torch.float32).at("vision_encoder")
        graph = _Graph(weights, checkpoint.config.vision).built(tiles)
        self._request: Any = Core().compile_model(graph, "CPU", options).create_infer_request()

    def __call__(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Encode normalised pixels [n, 3, S, S] to features [n, 1 + patches, D], without the positions of tiles."""
        self._request.infer({0: pixels})
        features: NDArray[np.float32] = self._request.get_output_tensor().data
        return features


def normalised(tiles: NDArray[np.uint8], patch_px: int) -> NDArray[np.float32]:
    """Normalise tiles as CLIP does, uint8 [n, S, S, 3] -> [n, 3, S, S]."""
    pixels: NDArray[np.float32] = Patches(patch_px, CPU, torch.float32).pixels(torch.from_numpy(tiles)).numpy()
    return np.ascontiguousarray(pixels)


class _Graph:
    """Builder of the graph; each method adds operations and returns the last one's output."""

    def __init__(self, weights: Weights, geometry: VisionGeometry) -> None:
        from openvino import opset13

        self._ops: Any = opset13
        self._weights = weights
        self._tower = weights.at("vision_model", "base_model", "model")
        self._geometry = geometry

    def built(self, tiles: int) -> Any:
        from openvino import Model

        ops, side = self._ops, self._geometry.tile_px
        pixels = ops.parameter([tiles, 3, side, side], np.float32)
        x = self._embedded(pixels, tiles)
        for index in range(self._geometry.layers):
            x = self._layer(x, self._tower.at("encoder", "layers", index))
        return Model([self._norm(x, self._weights.at("norm_lvl_2"), 1e-5)], [pixels], "tower")

    def _embedded(self, pixels: Any, tiles: int) -> Any:
        ops, embeddings, width = self._ops, self._tower.at("embeddings"), self._geometry.width
        patch = self._geometry.patch_px
        kernel = merged(embeddings.at("patch_embedding"), LOCAL_ADAPTER)
        x = ops.convolution(pixels, self._constant(kernel), [patch, patch], [0, 0], [0, 0], [1, 1])
        x = ops.transpose(ops.reshape(x, [0, width, -1], True), [0, 2, 1])
        first = self._constant(embeddings.tensor("class_embedding").expand(tiles, 1, -1))
        x = ops.add(ops.concat([first, x], 1), self._constant(embeddings.tensor("position_embedding.weight")[None]))
        return self._norm(x, self._tower.at("pre_layrnorm"), self._geometry.eps)

    def _layer(self, x: Any, layer: Weights) -> Any:
        ops, eps = self._ops, self._geometry.eps
        attention, mlp = layer.at("self_attn"), layer.at("mlp")
        normed = self._norm(x, layer.at("layer_norm1"), eps)
        q, k, v = (self._heads(self._linear(normed, attention.at(f"{name}_proj"))) for name in "qkv")
        seen = ops.transpose(ops.scaled_dot_product_attention(q, k, v), [0, 2, 1, 3])
        seen = ops.reshape(seen, [0, 0, self._geometry.width], True)
        x = ops.add(x, self._linear(seen, attention.at("out_proj")))
        inner = self._linear(self._norm(x, layer.at("layer_norm2"), eps), mlp.at("fc1"))
        inner = ops.swish(inner, np.float32(_QUICK))
        return ops.add(x, self._linear(inner, mlp.at("fc2")))

    def _heads(self, x: Any) -> Any:
        """Split the last axis into heads, [n, tokens, D] -> [n, H, tokens, d]."""
        heads = self._geometry.heads
        apart = self._ops.reshape(x, [0, 0, heads, self._geometry.width // heads], True)
        return self._ops.transpose(apart, [0, 2, 1, 3])

    def _linear(self, x: Any, layer: Weights) -> Any:
        product = self._ops.matmul(x, self._constant(merged(layer, LOCAL_ADAPTER)), False, True)
        return self._ops.add(product, self._constant(layer.tensor("base_layer.bias")))

    def _norm(self, x: Any, norm: Weights, eps: float) -> Any:
        centred = self._ops.mvn(x, [-1], True, eps, "INSIDE_SQRT")
        scaled = self._ops.multiply(centred, self._constant(norm.tensor("weight")))
        return self._ops.add(scaled, self._constant(norm.tensor("bias")))

    def _constant(self, tensor: torch.Tensor) -> Any:
        return self._ops.constant(tensor.contiguous().numpy())


def features_alike(ours: Sequence[torch.Tensor], theirs: NDArray[np.float32]) -> float:
    """Return the least cosine between both sides' features of an image token."""
    pair = torch.stack(list(ours)).float(), torch.from_numpy(theirs).float()
    return float(torch.cosine_similarity(*pair, dim=-1).min())
