"""Which rows of a decode batch attend to which slot, as tensors on the device (a block table).

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
    """Rows of a batch by the slot they attend to; the keys and values of a group are read once for all its rows.

    A group without a slot (-1) writes zeros for the rows it names; so a padding row of a batch gets zeros.

    Attributes:
        slot: slot of each group, -1 where it has none; int32 [G], as many groups as rows.
        rows: batch rows of each group, -1 where there are fewer; int32 [G, ROWS_OF_GROUP].
        row_slot: slot of each batch row, -1 for a padding row; int32 [B].
    """

    slot: Tensor
    rows: Tensor
    row_slot: Tensor

    @classmethod
    def shared(cls, row_slots: Sequence[int], device: torch.device | str = "cpu") -> DecodeGroups:
        """Rows that look at one slot together, at most `ROWS_OF_GROUP` in a group; -1 is a padding row."""
        members: dict[int, list[int]] = {}
        for row, slot in enumerate(row_slots):
            members.setdefault(slot, []).append(row)
        table = [
            (slot, rows[start : start + ROWS_OF_GROUP])
            for slot, rows in members.items()
            for start in range(0, len(rows), ROWS_OF_GROUP)
        ]
        unused: list[tuple[int, list[int]]] = [(-1, [])] * (len(row_slots) - len(table))
        slots, rows_of = zip(*table, *unused, strict=True)
        return cls._on(device, slots, rows_of, row_slots)

    @classmethod
    def alone(cls, row_slots: Sequence[int], device: torch.device | str = "cpu") -> DecodeGroups:
        """Every row in a group of its own, as for self-attention; -1 is a padding row."""
        return cls._on(device, row_slots, [[row] for row in range(len(row_slots))], row_slots)

    @classmethod
    def _on(
        cls,
        device: torch.device | str,
        slots: Sequence[int],
        rows_of: Sequence[Sequence[int]],
        row_slots: Sequence[int],
    ) -> DecodeGroups:
        padded = [[*rows, *[-1] * (ROWS_OF_GROUP - len(rows))] for rows in rows_of]
        return cls(*(torch.tensor(part, dtype=torch.int32, device=device) for part in (slots, padded, row_slots)))

    def copy_(self, other: DecodeGroups) -> None:
        """Take over another table of the same size, in place; from pinned memory it does not wait for the device."""
        self.slot.copy_(other.slot, non_blocking=True)
        self.rows.copy_(other.rows, non_blocking=True)
        self.row_slot.copy_(other.row_slot, non_blocking=True)
