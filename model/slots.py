"""What each running request keeps on the device, in arrays of a fixed size: a request's memory is a closed formula.

A row slot holds the self-attention keys and values of one request; an image slot holds the cross-attention keys and
values of one image, shared by all running rows that ask about it. Owns the free lists; knows no scheduling.
Called by the engine's thread only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from model.config import PheyeConfig
from model.cross_attention import ImageGroup
from model.layers import index_of


@dataclass(slots=True)
class _ResidentImage:
    slot: int
    rows: set[int] = field(default_factory=set)


class Slots:
    """Row slots and image slots, as many of one as of the other.

    Attributes:
        keys, values: self-attention [layers, slots, H, context, d].
        cross_keys, cross_values: [cross layers, slots, H_cross, V, d_cross].
        lengths: tokens each row slot holds; 0 where it is free.
    """

    def __init__(
        self, config: PheyeConfig, count: int, context_tokens: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        decoder = config.decoder
        own = (decoder.layers, count, decoder.heads, context_tokens, decoder.head_width)
        image = (
            len(config.cross_layers),
            count,
            config.cross_heads,
            config.image_tokens,
            config.inner_width // config.cross_heads,
        )
        # Zeros, not `empty`: see `release` about what a stray NaN would do.
        self.keys, self.values = (torch.zeros(own, device=device, dtype=dtype) for _ in range(2))
        self.cross_keys, self.cross_values = (torch.zeros(image, device=device, dtype=dtype) for _ in range(2))
        self.lengths = [0] * count
        self._images: dict[str, _ResidentImage] = {}
        self._image_of: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.lengths)

    def has_image(self, key: str) -> bool:
        """Whether some running row already looks at that image, so that its keys and values are here."""
        return key in self._images

    def claim_image(self, key: str) -> int:
        """An image slot for a new image; there is always one, because every row needs at most one.

        The caller fills it, and then gives it to a row with `occupy`.
        """
        taken = {image.slot for image in self._images.values()}
        slot = next(slot for slot in range(len(self)) if slot not in taken)
        self._images[key] = _ResidentImage(slot)
        return slot

    def occupy(self, row: int, key: str, length: int) -> None:
        """Row slot `row` now holds `length` tokens and looks at image `key`."""
        if row in self._image_of:
            raise ValueError(f"slot {row} is taken")
        self._images[key].rows.add(row)
        self._image_of[row] = key
        self.lengths[row] = length

    def release(self, row: int, *, scrub: bool = False) -> None:
        """Free a row slot, and its image's slot when no other row looks at it.

        `scrub` is for a row that went wrong: masked positions get weight 0, but 0 times a NaN left behind is NaN, and
        that must not reach the slot's next owner. Cross-attention has no mask, so image slots need no scrubbing.
        """
        key = self._image_of.pop(row)
        image = self._images[key]
        image.rows.discard(row)
        if not image.rows:
            del self._images[key]
        if scrub:
            self.keys[:, row].zero_()
            self.values[:, row].zero_()
        self.lengths[row] = 0

    def groups(self, rows: list[int]) -> list[ImageGroup]:
        """The batch positions of `rows`, grouped by the image they look at."""
        positions: dict[int, list[int]] = {}
        for position, row in enumerate(rows):
            positions.setdefault(self._images[self._image_of[row]].slot, []).append(position)
        return [ImageGroup(slot, tuple(members)) for slot, members in positions.items()]


def rows_of(slab: Tensor, rows: Sequence[int], length: int) -> Tensor:
    """Rows of [slots, H, context, d] up to `length` tokens, in place where the rows are neighbours."""
    return slab[index_of(rows), :, :length]
