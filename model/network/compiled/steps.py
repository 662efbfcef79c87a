"""Steps over tokens as one compiled call for a model's slots: the tables that `step` reads, and what runs it.

Called by the engine's thread only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.network.compiled import attention, step
from model.network.compiled.linear import CompiledLinear, RoundedRows, crew, table_of
from model.network.compiled.loops.rows import ACTIVATION_CODES
from model.network.compiled.loops.sizes import PANEL
from model.network.compiled.parts import MOST_TOKENS, DecoderParts, LayerParts, Norm
from model.network.compiled.prompt_attention import room_floats

_LINE = 64  # bytes of a cache line


@dataclass(frozen=True, slots=True)
class Memory:
    """Keys and values of slots, which stay where they are: [layers, slots, H, tokens, d], of text and of images."""

    keys: Tensor
    values: Tensor
    image_keys: Tensor
    image_values: Tensor


class CompiledSteps:
    """Steps of one decoder over one set of slots.

    Args:
        parts: the decoder.
        memory: its slots.
    """

    def __init__(self, parts: DecoderParts, memory: Memory) -> None:
        self._parts, self._memory = parts, memory
        self._products: list[CompiledLinear] = []
        self._norms: list[list[int]] = []
        self._layers = np.array([self._layer(number, layer) for number, layer in enumerate(parts.layers)])
        last, head = self._norm(parts.norm), self._product(parts.head)
        self._tables = (self._layers, table_of(self._products), np.array(self._norms), _memories(memory))
        self._tokens = memory.image_keys.shape[3]
        self._knows_panels = memory.image_keys.dtype == torch.float32 and not memory.image_keys.shape[4] % PANEL
        slots = max(memory.keys.shape[1], MOST_TOKENS)
        widest = max(product.weights.padded_inputs for product in self._products)
        bits = parts.layers[0].into.weights.bits
        self._rounded = [RoundedRows(slots, widest, bits) for _ in range(2)]
        self._inputs = np.stack([rounded.table for rounded in self._rounded])
        self._constants = self._room(slots, crew().size, last, head)
        self._scale = _bits(parts.scale)

    def append(
        self,
        rows: Sequence[int],
        tokens: Sequence[int],
        positions: Sequence[int],
        images: Sequence[int],
        by_panels: Sequence[bool] = (),
    ) -> Tensor:
        """Append tokens to rows, and return the logits after each [B, vocab].

        A token sees its row up to itself, other tokens of this step included.

        Args:
            rows: row slot of each token.
            tokens: the tokens, at most `MOST_TOKENS` or the number of slots.
            positions: where each goes, which no two of a row share.
            images: image slot of each.
            by_panels: whether each looks at its image by `attend_together`, if that is in float32; none does if not
                given. Either way it says the same whatever others there are, but not the same either way to the bit.

        Raises:
            IndexError: something is out of range; the compiled code would read or write elsewhere in memory.
            ValueError: torch computes with more threads now than when these steps were made.
        """
        self._check(rows, tokens, positions, images)
        forms = [self._knows_panels and wanted for wanted in by_panels or [False] * len(rows)]
        looks = list(zip(images, forms, strict=True))
        members = sorted(range(len(rows)), key=looks.__getitem__)
        batch = np.array([tokens, rows, positions, members], dtype=np.int64)
        groups = self._groups([looks[row] for row in members])
        head = self._parts.head
        logits = torch.empty(len(rows), head.padded_outputs)
        together, ready, out = crew(), step.step.ready, logits.data_ptr()
        if together.size > self._threads:
            raise ValueError(f"steps were made for {self._threads} threads, not for {together.size}")
        self._constants[step.COUNTER] = together.counter

        def work(thread: int) -> None:
            ready(self._constants, *self._tables, self._inputs, batch, groups, self._tokens, out, thread, together.size)

        together.run(work)
        return logits[:, : head.weights.outputs]

    def _check(
        self, rows: Sequence[int], tokens: Sequence[int], positions: Sequence[int], images: Sequence[int]
    ) -> None:
        """Raise an IndexError for what compiled code would take for an address elsewhere."""
        memory, parts = self._memory, self._parts
        slots = memory.keys.shape[1]
        most, places = max(slots, MOST_TOKENS), list(zip(rows, positions, strict=False))
        if not 1 <= len(rows) <= most or len(set(places)) != len(rows):
            raise IndexError(f"a step has 1 to {most} different places in rows, not {places}")
        bounds = (
            ("row slots", rows, slots),
            ("tokens", tokens, parts.embedding.shape[0]),
            ("positions", positions, min(memory.keys.shape[3], parts.cos.shape[0])),
            ("image slots", images, memory.image_keys.shape[1]),
        )
        for name, numbers, bound in bounds:
            if len(numbers) != len(rows):
                raise IndexError(f"{len(rows)} rows have {len(numbers)} {name}")
            if not (min(numbers) >= 0 and max(numbers) < bound):
                raise IndexError(f"{name} are 0 to {bound - 1}, not {list(numbers)}")

    def _groups(self, looks: Sequence[tuple[int, bool]]) -> NDArray[np.int64]:
        """Return the table of groups that `step` reads, for the members' images and forms of attention, in order."""
        firsts = [place for place in range(len(looks)) if not place or looks[place] != looks[place - 1]]
        ends = [*firsts[1:], len(looks)]
        groups = [(*looks[first], first, end) for first, end in zip(firsts, ends, strict=True)]
        return np.array([[image, first, end, self._scale, form] for image, form, first, end in groups], dtype=np.int64)

    def _room(self, rows: int, threads: int, last: int, head: int) -> NDArray[np.int64]:
        """Allocate what a step works in, and return the table of constants."""
        parts, memory = self._parts, self._memory
        width = parts.embedding.shape[1]
        inner = max(product.padded_outputs for product in self._products if product is not parts.head)
        longest = max(memory.keys.shape[3], self._tokens)
        head_width = max(memory.keys.shape[4], memory.image_keys.shape[4])
        floats = max(rows * (longest + 8 + 2 * head_width), room_floats(rows, self._tokens, memory.image_keys.shape[4]))
        scratch = floats * 4 // _LINE * _LINE + 2 * _LINE
        self._threads = threads
        self._work = [
            torch.empty(rows * width), torch.empty(rows * width), torch.empty(rows * inner),
            torch.empty(threads * scratch, dtype=torch.uint8),
        ]  # fmt: skip
        stream, normed, wide, room = (tensor.data_ptr() for tensor in self._work)
        places = (parts.embedding.data_ptr(), parts.cos.data_ptr(), parts.sin.data_ptr())
        constants = (
            stream, normed, wide, 0, room, scratch, *places, parts.cos.shape[1],
            ACTIVATION_CODES[parts.activation], width, head, last,
        )  # fmt: skip
        assert len(constants) == step.CONSTANTS
        return np.array(constants, dtype=np.int64)

    def _layer(self, number: int, layer: LayerParts) -> list[int]:
        own = [*map(self._product, (layer.into, layer.dense, layer.fc2)), self._norm(layer.norm), number]
        cross = layer.cross
        if cross is None:
            return [*own, *[-1] * (step.LAYER_COLUMNS - len(own))]
        place = self._memory.keys.shape[0] + sum(before.cross is not None for before in self._parts.layers[:number])
        block = map(self._product, (cross.to_q, cross.to_out, cross.fc1, cross.fc2))
        return [*own, 0, *block, self._norm(cross.norm), self._norm(cross.ff_norm), place]

    def _product(self, layer: CompiledLinear) -> int:
        self._products.append(layer)
        return len(self._products) - 1

    def _norm(self, norm: Norm) -> int:
        self._norms.append([norm.weight.data_ptr(), norm.bias.data_ptr(), _bits(norm.eps)])
        return len(self._norms) - 1


def _memories(memory: Memory) -> NDArray[np.int64]:
    """Return the table of memories: the text's layers, then the blocks' images."""
    pairs = [*zip(memory.keys, memory.values, strict=True), *zip(memory.image_keys, memory.image_values, strict=True)]
    return np.array([_memory(keys, values) for keys, values in pairs], dtype=np.int64)


def _memory(keys: Tensor, values: Tensor) -> list[int]:
    assert keys.stride() == values.stride()
    assert keys.stride(3) == 1
    size = keys.element_size()
    row = [keys.data_ptr(), values.data_ptr(), *(size * keys.stride(axis) for axis in range(3))]
    row += [keys.shape[1], keys.shape[3], int(keys.dtype == torch.float32)]
    assert len(row) == attention.MEMORY_COLUMNS
    return row


def _bits(value: float) -> int:
    return int(np.float32(value).view(np.uint32))
