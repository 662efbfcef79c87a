"""The Phi language model with cross-attention blocks between its layers, reading and writing slots.

One forward pass serves prefill and decode alike: it appends T new tokens to each row. Owns the rotary tables. Knows no
prompts and no sampling. Called by the engine's thread only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from model.config import DecoderGeometry, PheyeConfig
from model.network.cross_attention import CrossAttentionBlock, ImageGroup, Watch
from model.network.layers import ACTIVATIONS, LayerNorm, Weights, join_heads, split_heads
from model.network.slots import Slots, rows_of


@dataclass(slots=True)
class Batch:
    """New tokens for some rows, and everything derived from where they stand.

    Attributes:
        rows: row slot of each batch row.
        row_index: the same on the device [B, 1], to index beside positions [B, T].
        ids: new tokens [B, T], padded on the right.
        positions: position of each new token in its row [B, T].
        reach: tokens of the longest row, the new ones included.
        last: index in T of each row's last real token [B].
        groups: which rows look at which image.
        watch: whose cross-attention to remember.
    """

    rows: list[int]
    row_index: Tensor
    ids: Tensor
    positions: Tensor
    reach: int
    last: Tensor
    groups: list[ImageGroup]
    watch: Watch | None = None


class Rotary:
    """Rotary position embedding of the first `width` channels of a head, in half-split form."""

    def __init__(self, geometry: DecoderGeometry, device: torch.device, dtype: torch.dtype) -> None:
        self._width = geometry.rotary_width
        exponents = torch.arange(0, self._width, 2, dtype=torch.float32) / self._width
        angles = torch.outer(torch.arange(geometry.max_positions).float(), geometry.rope_theta**-exponents)
        angles = torch.cat([angles, angles], dim=-1)  # [max_positions, width]
        self._cos = angles.cos().to(device=device, dtype=dtype)
        self._sin = angles.sin().to(device=device, dtype=dtype)

    def __call__(self, x: Tensor, positions: Tensor) -> Tensor:
        """Rotate [B, H, T, d] by positions [B, T]."""
        cos, sin = self._cos[positions].unsqueeze(1), self._sin[positions].unsqueeze(1)  # [B, 1, T, width]
        turned, passed = x[..., : self._width], x[..., self._width :]
        first, second = turned.chunk(2, dim=-1)
        return torch.cat([turned * cos + torch.cat([-second, first], dim=-1) * sin, passed], dim=-1)


class DecoderLayer:
    """A Phi layer: attention and feed-forward side by side on one normalised input."""

    def __init__(self, weights: Weights, geometry: DecoderGeometry, rotary: Rotary) -> None:
        attention, mlp = weights.at("self_attn"), weights.at("mlp")
        self._heads = geometry.heads
        self._activation = ACTIVATIONS[geometry.activation]
        self._rotary = rotary
        self._norm = LayerNorm.load(weights.at("input_layernorm"), geometry.eps)
        self._qkv = attention.linear("q_proj", "k_proj", "v_proj")
        self._dense = attention.linear("dense")
        self._fc1 = mlp.linear("fc1")
        self._fc2 = mlp.linear("fc2")

    def __call__(self, x: Tensor, keys: Tensor, values: Tensor, batch: Batch, mask: Tensor) -> Tensor:
        """Append keys and values [slots, H, context, d] of the new tokens, then attend: [B, T, D] -> [B, T, D]."""
        normed = self._norm(x)
        q, k, v = (split_heads(part, self._heads) for part in self._qkv(normed).chunk(3, dim=-1))
        keys[batch.row_index, :, batch.positions] = self._rotary(k, batch.positions).transpose(1, 2)
        values[batch.row_index, :, batch.positions] = v.transpose(1, 2)
        seen = F.scaled_dot_product_attention(
            self._rotary(q, batch.positions),
            rows_of(keys, batch.rows, batch.reach),
            rows_of(values, batch.rows, batch.reach),
            attn_mask=mask,
        )
        return x + self._dense(join_heads(seen)) + self._fc2(self._activation(self._fc1(normed)))


class Decoder:
    """Embeddings, layers with cross-attention blocks in front of some of them, and the output head."""

    def __init__(self, weights: Weights, config: PheyeConfig) -> None:
        geometry, model = config.decoder, weights.at("model")
        rotary = Rotary(geometry, weights.device, weights.dtype)
        self.cross_layers = config.cross_layers
        self._embedding = model.tensor("embed_tokens.weight")
        self._layers = [
            DecoderLayer(model.at("layers", index, "decoder_layer"), geometry, rotary)
            for index in range(geometry.layers)
        ]
        self._cross = {
            index: CrossAttentionBlock(model.at("layers", index, "cross_attn_layer"), config)
            for index in config.cross_layers
        }
        self._norm = LayerNorm.load(model.at("final_layernorm"), geometry.eps)
        self._head = weights.linear("lm_head")

    def project(self, features: Tensor, slots: Slots, image_slot: int) -> None:
        """Fill an image slot with the keys and values of every cross-attention block; features [V, D_vit]."""
        for place, index in enumerate(self.cross_layers):
            self._cross[index].project(
                features, slots.cross_keys[place, image_slot], slots.cross_values[place, image_slot]
            )

    def __call__(self, batch: Batch, slots: Slots) -> Tensor:
        """Append the batch's tokens to their rows; logits of each row's last token [B, vocab]."""
        x = F.embedding(batch.ids, self._embedding)  # [B, T, D]
        # A row sees itself up to each token: padding to the right of a row, and what an earlier owner of the slot
        # left behind, lie beyond its positions.
        mask = torch.arange(batch.reach, device=x.device) <= batch.positions.unsqueeze(-1)  # [B, T, reach]
        mask = mask.unsqueeze(1)
        place = 0
        for index, layer in enumerate(self._layers):
            if index in self._cross:
                x = self._cross[index](x, slots.cross_keys[place], slots.cross_values[place], batch.groups, batch.watch)
                place += 1
            x = layer(x, slots.keys[index], slots.values[index], batch, mask)
        ends = x[torch.arange(len(batch.rows), device=x.device), batch.last]  # [B, D]
        return self._head(self._norm(ends))
