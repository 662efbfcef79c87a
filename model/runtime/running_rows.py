"""Running rows: what the host knows of each row that holds a slot, from prefill to release.

Owns sampling settings, the last token, and the attention recorded for explanations. Knows no KV cache and makes no
step. One thread at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.choices import ChoiceTree
from model.network.cross_attention import AttentionRecorder
from model.request import ChosenChoice, NewRow, Sampling, TokenLogprob
from model.runtime.decode_steps import StepRow


@dataclass(slots=True)
class RunningRow:
    """Row that holds a slot.

    Attributes:
        sampling: how its tokens are chosen.
        last_token: its newest token, 0 after a failure.
        given_tokens: tokens of its answer so far.
        attention: [cross layers, V] for each new token; None if the answer is not to be explained.
        top_logprobs: how many alternatives are told of each token.
        logprob: what is told of its newest token; None before the first.
        choice: which of its choices was taken, with its prefill; None for rows that have none.
    """

    sampling: Sampling
    last_token: int
    given_tokens: int
    attention: list[Tensor] | None = None
    top_logprobs: int = 0
    logprob: TokenLogprob | None = None
    choice: ChosenChoice | None = None


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
        attention: list[Tensor] | None = [] if row.explain else None
        self._rows[row.slot] = RunningRow(row.sampling, 0, len(row.given), attention, row.top_logprobs)

    def remove(self, slot: int) -> None:
        """Remove the row that holds a slot."""
        del self._rows[slot]

    def append(
        self, slots: Sequence[int], tokens: list[int | None], logprobs: Sequence[TokenLogprob]
    ) -> list[int | None]:
        """Append a token to each row, None for a failed one, with what is told of it, and return the tokens."""
        for slot, token, logprob in zip(slots, tokens, logprobs, strict=True):
            row = self._rows[slot]
            row.last_token = 0 if token is None else token
            row.logprob = logprob
            row.given_tokens += 1
        return tokens

    def answer(self, slot: int, choice: ChosenChoice | None, tree: ChoiceTree) -> int | None:
        """Answer a row with one of its choices, None if it failed, and return the choice's first token.

        The attention kept is that of the choice's own tokens.
        """
        row = self._rows[slot]
        row.choice = choice
        if choice is None:
            return None
        if row.attention is not None:
            row.attention = [row.attention[query] for query in tree.queries_of(choice.index)]
        row.given_tokens += len(choice.tokens)
        return choice.tokens[0]

    def tops(self, slots: Sequence[int]) -> list[int]:
        """Return how many alternatives rows are told of each token."""
        return [self._rows[slot].top_logprobs for slot in slots]

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

    Each new token is written by the query before it, those that were given before a restart included. Of a tree of
    choices all queries are returned.

    Args:
        rows: the batch.
        starts: tokens of each row that are not read again.
    """
    return {
        place: range(len(row.prompt) - 1 - start, len(row.prompt) + len(row.choices or row.given) - start)
        for place, (row, start) in enumerate(zip(rows, starts, strict=True))
        if row.explain
    }
