"""Dense cross-attention block that stands before some decoder layers (arXiv 2501.02584, figure 2).

The part that depends on the image alone (`project`) is apart from the part that depends on the text (`__call__`), so
that keys and values are computed once for an image and not once for every token. Called by the engine's thread only.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from model.config import CROSS_HEAD_WIDTH, PheyeConfig
from model.network.compiled.compilation.background import CompiledCode
from model.network.compiled.loops.sizes import HEAD_CHANNELS, LEAST_TOKENS
from model.network.compiled.parts import CrossParts, compiled_of
from model.network.decode.attention import absorbed_attention, decode_attention
from model.network.decode.linear import add_and_norm, apply
from model.network.kernels.groups import DecodeGroups
from model.network.layers import LayerNorm, Weights, index_of, join_heads, split_heads
from model.network.linear import PlainLinear

if TYPE_CHECKING:
    from model.network.compiled.projection import CompiledProjection

_CHUNK_NUMBERS = 320 * 4096  # that a CPU projects together, so that what it then copies is still in its caches
Stream = tuple[Tensor, Tensor]  # hidden states [B, D] of a decode step, and the same normalised for the next block
_FEW = 4  # queries that look at one image
SCALE = CROSS_HEAD_WIDTH**-0.5  # stays so when `reduce` makes the heads narrower, as in the published checkpoints


@dataclass(frozen=True, slots=True)
class ImageGroup:
    """Rows of a batch that attend together: images in neighbouring slots, each looked at by equally many rows.

    Attributes:
        first_slot: image slot of the first image.
        rows: batch rows of each image; those of one image are one batch of queries against its keys and values.
    """

    first_slot: int
    rows: tuple[tuple[int, ...], ...]

    @property
    def slots(self) -> slice:
        """Slots of the images."""
        return slice(self.first_slot, self.first_slot + len(self.rows))


@dataclass(slots=True)
class AttentionRecorder:
    """Recorder of the attention of chosen queries during a pass; it changes no result.

    Attributes:
        rows: batch row of each query [Q].
        columns: index of the query among its row's new tokens [Q].
        layers: filled by the pass: attention over the image tokens, mean over the heads, float32 [Q, V] for each
            cross-attention block in order.
    """

    rows: list[int]
    columns: list[int]
    layers: list[Tensor] = field(default_factory=list)

    @classmethod
    def over(cls, queries: Mapping[int, range]) -> AttentionRecorder | None:
        """Create a recorder for columns of batch rows; None if there are none."""
        pairs = [(row, column) for row, columns in queries.items() for column in columns]
        return cls([row for row, _ in pairs], [column for _, column in pairs]) if pairs else None

    def record(self, q: Tensor, keys: Tensor, groups: Sequence[ImageGroup]) -> None:
        """Record one block's attention; q [B, H, T, d], keys [slots, H, V, d]."""
        slots = {
            row: slot for group in groups for slot, rows in enumerate(group.rows, group.first_slot) for row in rows
        }
        seen = [
            (q[row, :, column, None].float() @ keys[slots[row]].float().transpose(-1, -2) * SCALE)
            .softmax(-1)
            .mean(0)[0]
            for row, column in zip(self.rows, self.columns, strict=True)
        ]
        self.layers.append(torch.stack(seen))


@dataclass(frozen=True, slots=True)
class ImageMemory:
    """Memory of image slots for cross-attention: projected keys and values, or the features themselves.

    Attributes:
        keys, values: [cross layers, slots, H, V, d]; without slots in the absorbed form.
        features: [slots, V, D_vit]; without slots where keys and values are kept.
    """

    keys: Tensor
    values: Tensor
    features: Tensor


class CrossAttentionBlock:
    """Block that computes x + to_out(attention(norm(x), image)), then x + ff(norm(x)).

    No gate, no mask, no norm on the features.
    """

    def __init__(
        self, weights: Weights, config: PheyeConfig, code: CompiledCode | None = None, *, absorbed: bool = False
    ) -> None:
        attention, feed_forward = weights.at("attn"), weights.at("ff")
        self._heads = config.cross_heads
        self.norm = LayerNorm.load(attention.at("norm"), eps=1e-5)
        self._to_q = attention.linear("to_q")
        bias = attention.tensor("to_kv.bias")

        def projection() -> Tensor:
            return attention.ready(attention.stored("to_kv.weight"))

        self._to_kv = attention.fastest("to_kv", projection, bias, sensitive=True, stepped=False)
        self._together = max(1, _CHUNK_NUMBERS // len(bias))  # tokens
        is_known = isinstance(self._to_kv, PlainLinear) and not config.inner_width // config.cross_heads % HEAD_CHANNELS
        self._code = code if is_known and config.image_tokens >= LEAST_TOKENS else None
        self._absorbed = _Absorbed(projection(), bias, config.cross_heads) if absorbed else None
        self._to_out = attention.linear("to_out")
        self._ff_norm = LayerNorm.load(feed_forward.at("norm"), eps=1e-5)
        self._fc1 = feed_forward.linear("fc1")
        self._fc2 = feed_forward.linear("fc2")

    def parts(self) -> CrossParts | None:
        """Return what a compiled step reads of this block; None if its layers are not compiled."""
        layers = compiled_of(self._to_q, self._to_out, self._fc1, self._fc2)
        if layers is None:
            return None
        to_q, to_out, fc1, fc2 = layers
        return CrossParts(to_q, to_out, fc1, fc2, self.norm, self._ff_norm)

    def project(self, features: Tensor, keys: Tensor, values: Tensor) -> None:
        """Write keys and values [H, V, d] of one image's features [V, D_vit]."""
        if self._code is not None and self._code.ready and keys.dtype == torch.float32:
            self._compiled(features, keys, values)
            return
        together = self._together if features.device.type == "cpu" else len(features)
        for start in range(0, len(features), together):
            part = slice(start, start + together)
            projected = self._to_kv(features[part].unsqueeze(0)).chunk(2, dim=-1)
            keys[:, part], values[:, part] = (split_heads(half, self._heads)[0] for half in projected)

    @functools.cached_property
    def _compiled(self) -> CompiledProjection:
        """The projection as a compiled call, its weights held once more for it."""
        from model.network.compiled.projection import CompiledProjection

        to_kv = cast("PlainLinear", self._to_kv)
        return CompiledProjection(to_kv.weight, cast("Tensor", to_kv.bias))

    def projected(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Project features [images, V, D_vit] to keys and values [images, H, V, d]."""
        keys, values = (split_heads(half, self._heads) for half in self._to_kv(features).chunk(2, dim=-1))
        return keys, values

    def __call__(
        self,
        x: Tensor,
        keys: Tensor,
        values: Tensor,
        groups: Sequence[ImageGroup],
        recorder: AttentionRecorder | None = None,
    ) -> Tensor:
        """Run one pass of the block.

        Args:
            x: hidden states [B, T, D].
            keys: of every image slot [slots, H, V, d].
            values: likewise.
            groups: which rows of the batch look at which image slot; together they cover the batch.
            recorder: whose attention to remember.

        Returns:
            Hidden states [B, T, D].
        """
        q = split_heads(self._to_q(self.norm(x)), self._heads)  # [B, H, T, d]
        if recorder is not None:
            recorder.record(q, keys, groups)
        x = x + self._to_out(join_heads(_attend(q, keys, values, groups)))
        return x + self._fc2(F.gelu(self._fc1(self._ff_norm(x))))

    def step(
        self, stream: Stream, images: ImageMemory, place: int, groups: DecodeGroups, following: LayerNorm
    ) -> Stream:
        """Run one pass of the block for one new token of each row; shapes depend on the batch size alone.

        Args:
            stream: hidden states [B, D], and the same normalised for this block.
            images: what the image slots keep.
            place: which cross-attention block of the decoder this is.
            groups: which image slot each row looks at.
            following: the norm of what comes next.

        Returns:
            Hidden states [B, D], and the same normalised for what comes next.
        """
        x, normed = stream
        q = apply(self._to_q, normed).view(len(x), self._heads, -1)  # [B, H, d]
        if self._absorbed is not None:
            seen = self._absorbed.attend(q, images.features, groups)
        else:
            keys, values = images.keys[place], images.values[place]
            seen = decode_attention(q, keys, values, groups, keys.shape[-2], SCALE).flatten(1)
        x, normed = add_and_norm(self._to_out, seen, x, self._ff_norm)
        return add_and_norm(self._fc2, apply(self._fc1, normed, activation="gelu"), x, following)


class _Absorbed:
    """Cross-attention that reads features instead of keys and values, for one query of each row.

    A score q . (W_k f) is (W_k^T q) . f, and a weighted sum of values is W_v applied to the same sum of features: only
    features are read, one tensor for all blocks. The keys' bias moves all scores of a query alike, so it cancels.
    """

    def __init__(self, projection: Tensor, bias: Tensor, heads: int) -> None:
        to_k, to_v = projection.view(2, heads, -1, projection.shape[-1]).unbind(0)  # [H, d, D_vit]
        self._to_k, self._to_v = to_k, to_v.transpose(1, 2)
        self._bias = bias.chunk(2)[1]  # [H * d]

    def attend(self, q: Tensor, features: Tensor, groups: DecodeGroups) -> Tensor:
        """Attend from queries [B, H, d] to features [slots, V, D_vit] -> [B, H * d]."""
        qk = torch.bmm(q.transpose(0, 1), self._to_k).transpose(0, 1)  # [B, H, D_vit]
        context = absorbed_attention(qk, features, groups, SCALE)
        return torch.bmm(context.transpose(0, 1), self._to_v).transpose(0, 1).flatten(1) + self._bias


def _attend(q: Tensor, keys: Tensor, values: Tensor, groups: Sequence[ImageGroup]) -> Tensor:
    """Attend from every row to its own image: [B, H, T, d] -> [B, H, T, d].

    Keys and values are large and are never copied: each group reads its images' slots in place, and the queries take
    their dtype.
    """
    out = torch.empty_like(q)
    _, heads, length, width = q.shape
    for group in groups:
        images, count = len(group.rows), len(group.rows[0])
        rows = index_of([row for rows in group.rows for row in rows])
        queries = q[rows].view(images, count, heads, length, width).transpose(1, 2)
        queries = queries.reshape(images, heads, count * length, width).to(keys.dtype)
        attention = _of_few_queries if _by_products(queries) else F.scaled_dot_product_attention
        seen = attention(queries, keys[group.slots], values[group.slots], scale=SCALE)
        out[rows] = seen.to(q.dtype).view(images, heads, count, length, width).transpose(1, 2).flatten(0, 1)
    return out


def _by_products(q: Tensor) -> bool:
    """Return whether two products with a softmax between read bfloat16 faster than torch's attention does.

    On processors without AMX, that attention reads keys and values at a fourth of the speed at which a product does
    when it has few queries.
    """
    return q.device.type == "cpu" and q.dtype == torch.bfloat16 and q.shape[-2] <= _FEW and not _has_amx()


@functools.cache
def _has_amx() -> bool:
    return bool(torch.cpu._is_amx_tile_supported())


def _of_few_queries(q: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    """Attend from queries [images, H, n, d] to tokens [images, H, V, d]; the softmax is in float32."""
    scores = torch.matmul(q, keys.transpose(-1, -2)).float().mul_(scale)
    return torch.matmul(scores.softmax(dim=-1).to(values.dtype), values)
