"""Block table of a decode batch: which rows attend to which slot, as tensors on the device.

All of it has a fixed size, so that a CUDA graph can be captured once and replayed for other rows. Knows no kernels.
Called by the engine's thread only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

ROWS_OF_GROUP = 16  # rows of one group at most: the least number of queries that a tensor core multiplies at once


@dataclass(frozen=True, slots=True)
class DecodeGroups:
    """Groups of rows that attend to the same slot; keys and values are read once for all rows of a group.

    A group without a slot (-1) writes zeros for the rows it names; so a padding row of a batch gets zeros.

    Attributes:
        slot: slot of each group, -1 where it has none; int32 [G], as many groups as rows.
        rows: batch rows of each group, -1 where there are fewer; int32 [G, ROWS_OF_GROUP].
        row_slot: slot of each batch row, -1 for a padding row; int32 [B].
        table: all of them in one piece of memory, to be copied at once.
    """

    slot: Tensor
    rows: Tensor
    row_slot: Tensor
    table: Tensor

    @classmethod
    def shared(cls, row_slots: Sequence[int], device: torch.device | str = "cpu") -> DecodeGroups:
        """Group the rows that look at one slot, at most `ROWS_OF_GROUP` in a group; -1 is a padding row."""
        members: dict[int, list[int]] = {}
        for row, slot in enumerate(row_slots):
            members.setdefault(slot, []).append(row)
        groups = [
            (slot, rows[start : start + ROWS_OF_GROUP])
            for slot, rows in members.items()
            for start in range(0, len(rows), ROWS_OF_GROUP)
        ]
        return cls._of(groups, row_slots, device)

    @classmethod
    def alone(cls, row_slots: Sequence[int], device: torch.device | str = "cpu") -> DecodeGroups:
        """Put every row in a group of its own, as for self-attention; -1 is a padding row."""
        return cls._of([(slot, [row]) for row, slot in enumerate(row_slots)], row_slots, device)

    @classmethod
    def _of(
        cls, groups: Sequence[tuple[int, list[int]]], row_slots: Sequence[int], device: torch.device | str
    ) -> DecodeGroups:
        batch = len(row_slots)
        # Each part begins at a multiple of 16 numbers: Triton compiles anew for pointers that are aligned otherwise.
        part = -(-batch // 16) * 16
        slots, rows = [-1] * part, [-1] * (batch * ROWS_OF_GROUP)
        for group, (slot, members) in enumerate(groups):
            slots[group] = slot
            rows[group * ROWS_OF_GROUP : group * ROWS_OF_GROUP + len(members)] = members
        table = torch.tensor([*slots, *row_slots, *[-1] * (part - batch), *rows], dtype=torch.int32, device=device)
        return cls(table[:batch], table[2 * part :].view(batch, -1), table[part : part + batch], table)

    def copy_(self, other: DecodeGroups) -> None:
        """Copy another table of as many rows into this one, in place and with a single copy to the device."""
        self.table.copy_(other.table, non_blocking=True)
