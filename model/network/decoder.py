"""Phi language model with cross-attention blocks between its layers; it reads and writes slots.

One forward pass serves prefill and decode alike: it appends T new tokens to each row. Owns the rotary tables. Knows no
prompts and no sampling. Called by the engine's thread only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from model.config import DecoderGeometry, PheyeConfig
from model.network.compiled.compilation.background import CompiledCode
from model.network.compiled.parts import CrossParts, DecoderParts, LayerParts, compiled_of
from model.network.cross_attention import SCALE, AttentionRecorder, CrossAttentionBlock, ImageGroup, Stream
from model.network.decode.attention import decode_attention, rotate_and_append
from model.network.decode.linear import add_and_norm, apply
from model.network.kernels.groups import DecodeGroups
from model.network.layers import ACTIVATIONS, LayerNorm, Weights, join_heads, split_heads
from model.network.slots import Slots, rows_of


@dataclass(slots=True)
class TokenBatch:
    """New tokens for some rows, and everything derived from where they stand.

    Attributes:
        rows: row slot of each batch row.
        row_index: the same on the device [B, 1], to index beside positions [B, T].
        ids: new tokens [B, T], padded on the right.
        positions: position of each new token in its row's text [B, T].
        places: where in its slot each is kept; its position, but for tokens of a tree of choices [B, T].
        reach: tokens of the longest row, the new ones included.
        ends: tokens whose logits are asked for, as rows of the batch and indices in T [Q], [Q].
        groups: which rows look at which image.
        recorder: whose cross-attention to remember.
        mask: what each token sees of its row [B, T, reach]; all up to itself if not given.
    """

    rows: list[int]
    row_index: Tensor
    ids: Tensor
    positions: Tensor
    places: Tensor
    reach: int
    ends: tuple[Tensor, Tensor]
    groups: list[ImageGroup]
    recorder: AttentionRecorder | None = None
    mask: Tensor | None = None

    def sight(self) -> Tensor:
        """Return what each token sees of its row [B, 1, T, reach].

        A row sees itself up to each token: padding to the right of a row, and what an earlier owner of the slot left
        behind, lie beyond its places.
        """
        mask = self.mask
        if mask is None:
            mask = torch.arange(self.reach, device=self.places.device) <= self.places.unsqueeze(-1)
        return mask.unsqueeze(1)


@dataclass(frozen=True, slots=True)
class StepBatch:
    """Batch with one token for each row: tensors of a fixed size on the device, so that a CUDA graph may read them.

    Attributes:
        rows: row slot of each batch row, -1 for a padding row; int32 [B].
        positions: position of the new token in its row; int32 [B].
        lengths: tokens of each row slot, the new ones included; int32 [slots or more].
        own: each row and its row slot.
        images: rows and the image slots they look at.
    """

    rows: Tensor
    positions: Tensor
    lengths: Tensor
    own: DecodeGroups
    images: DecodeGroups


class Rotary:
    """Rotary position embedding of the first `width` channels of a head, in half-split form."""

    def __init__(self, geometry: DecoderGeometry, device: torch.device, dtype: torch.dtype) -> None:
        self._width = geometry.rotary_width
        exponents = torch.arange(0, self._width, 2, dtype=torch.float32) / self._width
        angles = torch.outer(torch.arange(geometry.max_positions).float(), geometry.rope_theta**-exponents)
        angles = torch.cat([angles, angles], dim=-1)  # [max_positions, width]
        self.cos = angles.cos().to(device=device, dtype=dtype)
        self.sin = angles.sin().to(device=device, dtype=dtype)

    def __call__(self, x: Tensor, positions: Tensor) -> Tensor:
        """Rotate [B, H, T, d] by positions [B, T]."""
        cos, sin = self.cos[positions].unsqueeze(1), self.sin[positions].unsqueeze(1)  # [B, 1, T, width]
        turned, passed = x[..., : self._width], x[..., self._width :]
        first, second = turned.chunk(2, dim=-1)
        return torch.cat([turned * cos + torch.cat([-second, first], dim=-1) * sin, passed], dim=-1)


class DecoderLayer:
    """Phi layer: attention and feed-forward side by side on one normalised input."""

    def __init__(self, weights: Weights, geometry: DecoderGeometry, rotary: Rotary) -> None:
        self._heads = geometry.heads
        self._width = geometry.width
        self._activation_name = geometry.activation
        self._activation = ACTIVATIONS[geometry.activation]
        self._rotary = rotary
        self.norm = LayerNorm.load(weights.at("input_layernorm"), geometry.eps)
        self._in = weights.linear("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.fc1")
        self._out = weights.summed("self_attn.dense", "mlp.fc2")

    def parts(self, cross: CrossParts | None) -> LayerParts | None:
        """Return what a compiled step reads of this layer and the block before it; None if it is not compiled."""
        layers = compiled_of(self._in, *self._out.separate)
        if layers is None:
            return None
        into, dense, fc2 = layers
        return LayerParts(into, dense, fc2, self.norm, cross)

    def __call__(self, x: Tensor, keys: Tensor, values: Tensor, batch: TokenBatch, mask: Tensor) -> Tensor:
        """Append keys and values [slots, H, context, d] of the new tokens, then attend: [B, T, D] -> [B, T, D]."""
        qkv, inner = self._halves(self.norm(x))
        q, k, v = (split_heads(part, self._heads) for part in qkv.chunk(3, dim=-1))
        keys[batch.row_index, :, batch.places] = self._rotary(k, batch.positions).transpose(1, 2)
        values[batch.row_index, :, batch.places] = v.transpose(1, 2)
        seen = F.scaled_dot_product_attention(
            self._rotary(q, batch.positions),
            rows_of(keys, batch.rows, batch.reach),
            rows_of(values, batch.rows, batch.reach),
            attn_mask=mask,
        )
        return x + self._out(join_heads(seen), self._activation(inner))

    def step(self, stream: Stream, keys: Tensor, values: Tensor, batch: StepBatch, following: LayerNorm) -> Stream:
        """Run the layer for one new token of each row; see `Decoder.step`."""
        x, normed = stream
        width = self._width
        together = apply(self._in, normed, activation=self._activation_name, start=3 * width)  # [B, 3 D + mlp]
        qkv, values_of = together[:, : 3 * width], together[:, 2 * width : 3 * width]
        q = rotate_and_append(qkv, self._rotary.cos, self._rotary.sin, batch.rows, batch.positions, keys, values)
        # Attention writes its result over the values, which are in the KV cache by now, beside the inner half.
        seen = values_of.view(q.shape)
        decode_attention(q, keys, values, batch.own, batch.lengths, q.shape[-1] ** -0.5, out=seen)
        return add_and_norm(self._out.joined, together[:, 2 * width :], x, following)

    def _halves(self, normed: Tensor) -> tuple[Tensor, Tensor]:
        """Project to queries, keys and values [..., 3 D], and the feed-forward's inner half [..., mlp]."""
        together = self._in(normed)
        return together[..., : 3 * self._width], together[..., 3 * self._width :]


class Decoder:
    """Phi decoder: embeddings, layers with cross-attention blocks in front of some of them, and the output head."""

    def __init__(
        self, weights: Weights, config: PheyeConfig, code: CompiledCode | None = None, *, absorbed: bool = False
    ) -> None:
        geometry, model = config.decoder, weights.at("model")
        rotary = Rotary(geometry, weights.device, weights.dtype)
        self.cross_layers = config.cross_layers
        self._embedding = model.tensor("embed_tokens.weight")
        self._layers = [
            DecoderLayer(model.at("layers", index, "decoder_layer"), geometry, rotary)
            for index in range(geometry.layers)
        ]
        self._cross = {
            index: CrossAttentionBlock(model.at("layers", index, "cross_attn_layer"), config, code, absorbed=absorbed)
            for index in config.cross_layers
        }
        self._norm = LayerNorm.load(model.at("final_layernorm"), geometry.eps)
        self._head = weights.linear("lm_head", sensitive=True)
        self._rotary, self._activation = rotary, geometry.activation

    def parts(self) -> DecoderParts | None:
        """Return what a compiled step reads of this decoder; None if not all of its layers are compiled."""
        crosses = {index: block.parts() for index, block in self._cross.items()}
        layers = [layer.parts(crosses.get(index)) for index, layer in enumerate(self._layers)]
        whole = [layer for layer in layers if layer is not None]
        head = compiled_of(self._head)
        if len(whole) < len(layers) or None in crosses.values() or head is None:
            return None
        cos, sin = self._rotary.cos, self._rotary.sin
        return DecoderParts(self._embedding, cos, sin, self._activation, whole, self._norm, head[0], SCALE)

    def admit(self, features: Tensor, slots: Slots, image_slot: int) -> None:
        """Fill an image slot with what cross-attention needs of an image; features [V, D_vit]."""
        if slots.absorbed:
            slots.images.features[image_slot] = features
            return
        for place, index in enumerate(self.cross_layers):
            self._cross[index].project(
                features, slots.images.keys[place, image_slot], slots.images.values[place, image_slot]
            )

    def __call__(self, batch: TokenBatch, slots: Slots) -> Tensor:
        """Append the batch's tokens to their rows, and return the logits of its ends [Q, vocab]."""
        return self.logits(self.states(batch, slots))

    def logits(self, states: Tensor) -> Tensor:
        """Return the logits [Q, vocab] of final states [Q, D]."""
        logits: Tensor = self._head(states)
        return logits

    def states(self, batch: TokenBatch, slots: Slots) -> Tensor:
        """Append the batch's tokens to their rows, and return the final states of its ends [Q, D]."""
        x = F.embedding(batch.ids, self._embedding)  # [B, T, D]
        mask = batch.sight()
        for index, layer in enumerate(self._layers):
            if index in self._cross:
                keys, values, groups = self._cross_memory(index, slots, batch.groups)
                x = self._cross[index](x, keys, values, groups, batch.recorder)
            x = layer(x, slots.keys[index], slots.values[index], batch, mask)
        return self._norm(x[batch.ends])

    def _cross_memory(
        self, index: int, slots: Slots, groups: list[ImageGroup]
    ) -> tuple[Tensor, Tensor, list[ImageGroup]]:
        """Return keys and values [images, H, V, d] that one block attends to, and where each group's images are.

        In the absorbed form they are projected for this pass alone: with many queries to an image, that costs what
        attending to the features would.
        """
        if not slots.absorbed:
            place = self.cross_layers.index(index)
            return slots.images.keys[place], slots.images.values[place], groups
        features = torch.cat([slots.images.features[group.slots] for group in groups])  # [images, V, D_vit]
        keys, values = self._cross[index].projected(features)
        moved, first = [], 0
        for group in groups:
            moved.append(ImageGroup(first, group.rows))
            first += len(group.rows)
        return keys, values, moved

    def step(self, ids: Tensor, batch: StepBatch, slots: Slots) -> Tensor:
        """Append one token to each row, and return logits [B, vocab].

        Shapes depend on the batch size alone and nothing is asked of the device, so that a CUDA graph can record it.

        Args:
            ids: the tokens [B].
            batch: where their rows stand.
            slots: what the rows keep.
        """
        x = F.embedding(ids, self._embedding)  # [B, D]
        blocks = [
            self._cross[index].norm if index in self._cross else layer.norm for index, layer in enumerate(self._layers)
        ]
        stream = x, blocks[0](x)
        for index, (layer, following) in enumerate(zip(self._layers, [*blocks[1:], self._norm], strict=True)):
            if index in self._cross:
                place = self.cross_layers.index(index)
                stream = self._cross[index].step(stream, slots.images, place, batch.images, layer.norm)
            stream = layer.step(stream, slots.keys[index], slots.values[index], batch, following)
        return apply(self._head, stream[1])
