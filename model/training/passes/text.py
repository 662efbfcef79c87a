"""Decoder with gradients: packed rows of tokens and image features in, hidden states and logits out.

The same function as `NaivePheye.forward` on the same parameters, but several turns about one image share a row: each
sees the prefix and itself only. Knows no pixels and no loss. Called by the training process's main thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from model.config import CROSS_HEAD_WIDTH, DecoderGeometry, PheyeConfig
from model.network.layers import ACTIVATIONS, join_heads, split_heads
from model.training.passes.attention import attend
from model.training.passes.vision import layer_norm, linear, under

Layer = Callable[..., Tensor]


def text_layer(
    x: Tensor,
    features: Tensor,
    weights: Mapping[str, Tensor],
    mask: Tensor,
    turn: tuple[Tensor, Tensor],
    heads: tuple[int, int],
    activation: str,
    eps: float,
) -> Tensor:
    """Apply a cross-attention block, where the weights have one, and a Phi layer: [B, T, D] -> [B, T, D].

    Args:
        x: hidden states [B, T, D].
        features: image features [B, V, D_vit].
        weights: of the layer, by their names under `lang_encoder.model.layers.<index>.`.
        mask: added to the scores, 0 or -inf [B, 1, T, T].
        turn: cosines and sines of the rotary embedding [B, 1, T, rotary width].
        heads: of self-attention, and of cross-attention.
        activation: of Phi's feed-forward part.
        eps: of Phi's layer norm.
    """
    if "cross_attn_layer.attn.to_q.weight" in weights:
        x = _cross(x, features, weights, heads[1])
    own = "decoder_layer."
    normed = layer_norm(x, weights, own + "input_layernorm", eps)
    q, k, v = (
        split_heads(linear(normed, weights, f"{own}self_attn.{name}"), heads[0])
        for name in ("q_proj", "k_proj", "v_proj")
    )
    seen = attend(_turned(q, *turn), _turned(k, *turn), v, mask=mask)
    inner = ACTIVATIONS[activation](linear(normed, weights, own + "mlp.fc1"))
    return x + _joined(join_heads(seen), inner, weights, own + "self_attn.dense", own + "mlp.fc2")


def _joined(seen: Tensor, inner: Tensor, weights: Mapping[str, Tensor], one: str, other: str) -> Tensor:
    """Apply two linear layers and add what they give, their biases first.

    Added one by one, the biases have gradients that are one and the same sum; torch 2.13 writes C++ for it that no
    compiler takes (bfloat16, AVX-512).
    """
    bias = (weights[f"{one}.bias"] + weights[f"{other}.bias"]).to(seen.dtype)
    first, second = (weights[f"{name}.weight"].to(seen.dtype) for name in (one, other))
    return F.linear(seen, first) + F.linear(inner, second, bias)


def _cross(x: Tensor, features: Tensor, weights: Mapping[str, Tensor], heads: int) -> Tensor:
    block = "cross_attn_layer."
    q = split_heads(linear(layer_norm(x, weights, block + "attn.norm"), weights, block + "attn.to_q"), heads)
    k, v = (split_heads(part, heads) for part in linear(features, weights, block + "attn.to_kv").chunk(2, dim=-1))
    seen = join_heads(attend(q, k, v, scale=CROSS_HEAD_WIDTH**-0.5))
    x = x + linear(seen, weights, block + "attn.to_out")
    inner = F.gelu(linear(layer_norm(x, weights, block + "ff.norm"), weights, block + "ff.fc1"))
    return x + linear(inner, weights, block + "ff.fc2")


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply rotary embedding to the first channels of each head, in half-split form."""
    turned, passed = x[..., : cos.shape[-1]], x[..., cos.shape[-1] :]
    first, second = turned.chunk(2, dim=-1)
    return torch.cat([turned * cos + torch.cat([-second, first], dim=-1) * sin, passed], dim=-1)


def rotary(positions: Tensor, geometry: DecoderGeometry, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Compute cosines and sines for positions [B, T], each [B, 1, T, rotary width]."""
    exponents = torch.arange(0, geometry.rotary_width, 2, device=positions.device).float() / geometry.rotary_width
    angles = positions[:, None, :, None].float() * geometry.rope_theta**-exponents
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


class TextPass:
    """Forward pass of the decoder over parameters that may change between calls.

    Args:
        weights: parameters under `lang_encoder.`, by the rest of their names; read at every call.
        config: the geometry.
        layer: `text_layer`, or a compiled version of it.
        recompute: keep only each layer's input for the backward pass, and compute the layer again there.
    """

    def __init__(
        self, weights: Mapping[str, Tensor], config: PheyeConfig, layer: Layer = text_layer, recompute: bool = False
    ) -> None:
        self._d = config.decoder
        self._heads = (self._d.heads, config.cross_heads)
        self._own = {name: tensor for name, tensor in weights.items() if not name.startswith("model.layers.")}
        self._layers = [under(weights, f"model.layers.{index}.") for index in range(self._d.layers)]
        self._layer, self._recompute = layer, recompute

    def __call__(
        self, ids: Tensor, positions: Tensor, mask: Tensor, features: Tensor, before: Tensor | None = None
    ) -> Tensor:
        """Compute the last layer's normalised output [B, T, D] in the dtype of the features.

        Args:
            ids: tokens [B, T].
            positions: of each token in its own turn's text [B, T].
            mask: added to the scores, 0 or -inf, in the dtype of the features [B, 1, T, T].
            features: image features [B, V, D_vit].
            before: embeddings in front of the tokens [B, P, D]; `positions`, `mask` and the output then have P more.
        """
        x = F.embedding(ids, self._own["model.embed_tokens.weight"]).to(features.dtype)
        x = x if before is None else torch.cat([before, x], dim=1)
        turn = rotary(positions, self._d, features.dtype)
        for weights in self._layers:
            given = (x, features, weights, mask, turn, self._heads, self._d.activation, self._d.eps)
            x = checkpoint(self._layer, *given, use_reentrant=False) if self._recompute else self._layer(*given)
        return layer_norm(x, self._own, "model.final_layernorm", self._d.eps)

    def logits(self, hidden: Tensor) -> Tensor:
        """Compute logits, float32 [n, vocab], of some tokens' outputs [n, D]."""
        return linear(hidden, self._own, "lm_head").float()
