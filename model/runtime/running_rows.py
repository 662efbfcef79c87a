"""Running rows: what the host knows of each row that holds a slot, from prefill to release.

Owns sampling settings, the last token, and the attention recorded for explanations. Knows no KV cache and makes no
step. One thread at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.network.cross_attention import AttentionRecorder
from model.request import NewRow, Sampling
from model.runtime.decode_steps import StepRow


@dataclass(slots=True)
class RunningRow:
    """Row that holds a slot.

    Attributes:
        sampling: how its tokens are chosen.
        last_token: its newest token, 0 after a failure.
        given_tokens: tokens of its answer so far.
        attention: [cross layers, V] for each new token; None if the answer is not to be explained.
    """

    sampling: Sampling
    last_token: int
    given_tokens: int
    attention: list[Tensor] | None = None


class RunningRows:
    """Rows by the slot they hold."""

    def __init__(self) -> None:
        self._rows: dict[int, RunningRow] = {}

    def __contains__(self, slot: int) -> bool:
        return slot in self._rows

    def __getitem__(self, slot: int) -> RunningRow:
        return self._rows[slot]

    def add(self, row: NewRow) -> None:
        """Add a row that was just given its slot."""
        self._rows[row.slot] = RunningRow(row.sampling, 0, len(row.given), [] if row.explain else None)

    def remove(self, slot: int) -> None:
        """Remove the row that holds a slot."""
        del self._rows[slot]

    def append(self, slots: Sequence[int], tokens: list[int | None]) -> list[int | None]:
        """Append a token to each row, None for a failed one, and return the tokens."""
        for slot, token in zip(slots, tokens, strict=True):
            row = self._rows[slot]
            row.last_token = 0 if token is None else token
            row.given_tokens += 1
        return tokens

    def record(self, slots: Sequence[int], recorder: AttentionRecorder | None) -> None:
        """Keep the attention that a pass over the rows in `slots` has recorded."""
        if recorder is None:
            return
        seen = torch.stack(recorder.layers, dim=1).cpu()  # [Q, cross layers, V]
        for place, weights in zip(recorder.rows, seen, strict=True):
            attention = self._rows[slots[place]].attention
            if attention is not None:
                attention.append(weights)

    def step_rows(self, slots: Sequence[int], lengths: Sequence[int]) -> list[StepRow]:
        """Return what steps of fixed shapes must know of rows; `lengths` are tokens in every slot."""
        rows = [(slot, self._rows[slot]) for slot in slots]
        return [StepRow(slot, row.last_token, lengths[slot], row.given_tokens, row.sampling) for slot, row in rows]


def explained_queries(rows: Sequence[NewRow], starts: Sequence[int]) -> dict[int, range]:
    """Return the columns of a prefill that write tokens to be explained, by place in the batch.

    Each new token is written by the query before it, those that were given before a restart included.

    Args:
        rows: the batch.
        starts: tokens of each row that are not read again.
    """
    return {
        place: range(len(row.prompt) - 1 - start, len(row.prompt) + len(row.given) - start)
        for place, (row, start) in enumerate(zip(rows, starts, strict=True))
        if row.explain
    }
