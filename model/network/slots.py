"""Slots, the KV cache: what each running request keeps on the device, in arrays of a fixed size.

A row slot holds the self-attention keys and values of one request. An image slot holds what all requests about one
image share: cross-attention keys and values, and the self-attention keys and values of the words that every prompt
begins with (the prefix cache). An image nobody asks about any more stays until its slot is needed. Knows no
scheduling. Called by the engine's thread only.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from model.config import PheyeConfig
from model.network.cross_attention import ImageGroup, ImageMemory
from model.network.layers import index_of
from model.pixels.tiles import ImageKey


@dataclass(slots=True)
class _ResidentImage:
    slot: int
    rows: set[int] = field(default_factory=set)
    prefixed: bool = False  # whether the keys and values of the common beginning are here
    forgotten: bool = False  # whether it must go with its last row


class Slots:
    """Row slots and image slots, as many of one as of the other; `dtypes` are those of rows and of images.

    Attributes:
        keys, values: self-attention [layers, slots, H, context, d].
        images: what the image slots keep for cross-attention.
        absorbed: whether that is features, and not keys and values.
        lengths: tokens each row slot holds; 0 where it is free.
        prefix: tokens that every prompt begins with; may be empty.
    """

    def __init__(
        self,
        config: PheyeConfig,
        count: int,
        context_tokens: int,
        device: torch.device,
        dtypes: tuple[torch.dtype, torch.dtype],
        prefix: Sequence[int] = (),
        *,
        absorbed: bool = False,
    ) -> None:
        decoder, (dtype, image_dtype) = config.decoder, dtypes
        own = (decoder.layers, count, decoder.heads, context_tokens, decoder.head_width)
        # Zeros, not `empty`: see `release` about what a stray NaN would do.
        self.keys, self.values = (_untouched_zeros(own, device, dtype) for _ in range(2))
        self.absorbed = absorbed
        self.images = _image_memory(config, count, device, image_dtype, absorbed=absorbed)
        self.lengths = [0] * count
        self.prefix = tuple(prefix)
        shared = (*own[:3], len(prefix), own[4])
        self._prefix_keys, self._prefix_values = (_untouched_zeros(shared, device, dtype) for _ in range(2))
        self._images: dict[ImageKey, _ResidentImage] = {}  # the one that was needed longest ago first
        self._image_key_of: dict[int, ImageKey] = {}

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def context_tokens(self) -> int:
        """Number of tokens that a row slot has room for."""
        return self.keys.shape[3]

    def has_image(self, image_key: ImageKey) -> bool:
        """Return whether that image's keys and values are here."""
        return image_key in self._images

    def claim_image(self, image_key: ImageKey) -> int:
        """Claim an image slot for a new image; there is always one, because every row needs at most one.

        The caller fills it, and then gives it to a row with `occupy`.
        """
        if len(self._images) < len(self):
            taken = {image.slot for image in self._images.values()}
            slot = next(slot for slot in range(len(self)) if slot not in taken)
        else:
            idle = next(name for name, image in self._images.items() if not image.rows)
            slot = self._images.pop(idle).slot
        self._images[image_key] = _ResidentImage(slot)
        return slot

    def occupy(self, row: int, image_key: ImageKey, length: int) -> None:
        """Occupy row slot `row` with `length` tokens about the image `image_key`."""
        if row in self._image_key_of:
            raise ValueError(f"slot {row} is taken")
        image = self._images[image_key] = self._images.pop(image_key)
        image.rows.add(row)
        self._image_key_of[row] = image_key
        self.lengths[row] = length

    def begin(self, row: int, tokens: Sequence[int]) -> int:
        """Copy the beginning of a row's prompt that its image's slot keeps, and return the number of tokens copied."""
        image = self._images[self._image_key_of[row]]
        known = len(self.prefix)
        if not image.prefixed or len(tokens) <= known or tuple(tokens[:known]) != self.prefix:
            return 0
        self.keys[:, row, :, :known] = self._prefix_keys[:, image.slot]
        self.values[:, row, :, :known] = self._prefix_values[:, image.slot]
        return known

    def keep_beginning(self, row: int, tokens: Sequence[int]) -> None:
        """Keep the beginning of a row that has read `tokens`, for the next row about its image (prefix cache)."""
        image = self._images[self._image_key_of[row]]
        known = len(self.prefix)
        if not image.prefixed and known and tuple(tokens[:known]) == self.prefix:
            self._prefix_keys[:, image.slot] = self.keys[:, row, :, :known]
            self._prefix_values[:, image.slot] = self.values[:, row, :, :known]
            image.prefixed = True

    def release(self, row: int, *, failed: bool = False) -> None:
        """Free a row slot; its image stays until its slot is needed.

        A row that went wrong leaves nothing behind: masked positions get weight 0, but 0 times a NaN is NaN, and that
        must not reach the slot's next owner. Cross-attention has no mask, so image slots need no scrubbing.
        """
        image_key = self._image_key_of.pop(row)
        self._images[image_key].rows.discard(row)
        if failed:
            self._images[image_key].forgotten = True
            self.keys[:, row].zero_()
            self.values[:, row].zero_()
        self.lengths[row] = 0
        self._drop_if_done(image_key)

    def forget(self, image_key: ImageKey) -> None:
        """Drop an image as soon as no row looks at it."""
        if image_key in self._images:
            self._images[image_key].forgotten = True
            self._drop_if_done(image_key)

    def _drop_if_done(self, image_key: ImageKey) -> None:
        if self._images[image_key].forgotten and not self._images[image_key].rows:
            del self._images[image_key]

    def image_slot(self, row: int) -> int:
        """Return the image slot that a row looks at."""
        return self._images[self._image_key_of[row]].slot

    def groups(self, rows: Sequence[int]) -> list[ImageGroup]:
        """Group the batch positions of `rows` that can attend together."""
        positions: dict[int, list[int]] = {}
        for position, row in enumerate(rows):
            positions.setdefault(self.image_slot(row), []).append(position)
        groups: list[ImageGroup] = []
        for slot, members in sorted(positions.items()):
            last = groups[-1] if groups else None
            if last is not None and last.slots.stop == slot and len(last.rows[0]) == len(members):
                groups[-1] = ImageGroup(last.first_slot, (*last.rows, tuple(members)))
            else:
                groups.append(ImageGroup(slot, (tuple(members),)))
        return groups


def _image_memory(
    config: PheyeConfig, count: int, device: torch.device, dtype: torch.dtype, *, absorbed: bool
) -> ImageMemory:
    """Allocate empty memory of `count` image slots, in one form alone."""
    width = config.inner_width // config.cross_heads
    projected = (len(config.cross_layers), 0 if absorbed else count, config.cross_heads, config.image_tokens, width)
    features = (count if absorbed else 0, config.image_tokens, config.vision.width)
    keys, values, seen = (_untouched_zeros(shape, device, dtype) for shape in (projected, projected, features))
    return ImageMemory(keys, values, seen)


def _untouched_zeros(shape: Sequence[int], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return zeros; on a CPU in memory of their own, of which the system gives a page when it is first written to.

    `torch.zeros` writes all of them at once, which takes seconds for the slots of a large model, and holds memory for
    answers longer than any that will be given.
    """
    if device.type != "cpu" or 0 in shape:
        return torch.zeros(tuple(shape), device=device, dtype=dtype)
    memory = mmap.mmap(-1, math.prod(shape) * dtype.itemsize, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return torch.frombuffer(memory, dtype=dtype).view(tuple(shape))


def rows_of(slab: Tensor, rows: Sequence[int], length: int) -> Tensor:
    """Return rows of [slots, H, context, d] up to `length` tokens, in place where the rows are neighbours."""
    return slab[index_of(rows), :, :length]
