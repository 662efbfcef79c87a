"""Prompts read into slots: what is not yet known of each, with the tree of its choices behind it if it has any.

Knows neither images nor what a row waited for. One thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import sub

from torch import Tensor

from model.choices import ChoiceTree
from model.config import ConfigError
from model.network.cross_attention import AttentionRecorder
from model.network.pheye import Pheye
from model.network.slots import Slots
from model.request import NewRow
from model.runtime.device_memory import with_room
from model.runtime.running_rows import RunningRows, explained_queries
from model.runtime.sampling.logprobs import choose_choice
from model.tokenizer import shared_tokens

_UNLIKE = ("What is it?", "Describe it", "7", "\u00e9")  # instructions whose prompts share what all prompts share
FirstTokens = list[tuple[NewRow, int | None]]  # of rows; None for a failed one


def common_beginning(prompt: Callable[[str], Sequence[int]], max_positions: int) -> tuple[int, ...]:
    """Return the tokens with which all prompts begin.

    Args:
        prompt: returns the tokens of the whole prompt around an instruction.
        max_positions: that the model has.

    Raises:
        ConfigError: it has no room for even the shortest prompt.
    """
    examples = [prompt(instruction) for instruction in _UNLIKE]
    shortest = min(map(len, examples))
    if shortest >= max_positions:
        words = f"{max_positions} are too few: the shortest prompt has {shortest} tokens"
        raise ConfigError(f"max_position_embeddings: {words}")
    return tuple(examples[0][: shared_tokens(examples)])


class PromptReader:
    """The prefill: reads the prompts of new rows into their slots and takes each row's first token.

    Args:
        model: the fast path.
        slots: its slots, which the rows have occupied.
        running: the rows.
        choose: chooses the next token of rows, by slot, from their logits.
        make_room: frees memory, if a pass runs out of it.
    """

    def __init__(
        self,
        model: Pheye,
        slots: Slots,
        running: RunningRows,
        choose: Callable[[Sequence[int], Tensor], list[int | None]],
        make_room: Callable[[], None],
    ) -> None:
        self._model = model
        self._slots = slots
        self._running = running
        self._choose = choose
        self._make_room = make_room

    def read(self, rows: Sequence[NewRow]) -> FirstTokens:
        """Read what is not yet known of some rows' prompts, and return each row's first new token."""
        offered = [(row, row.choices) for row in rows if row.choices is not None]
        read = [*self._read_prompts([row for row in rows if row.choices is None]), *self._read_choices(offered)]
        for row, token in read:
            if token is not None:
                self._slots.keep_beginning(row.slot, row.prompt)
        return read

    def _begin(self, rows: Sequence[NewRow]) -> list[int]:
        """Return how many tokens of each row's prompt are in its slot already."""
        return [self._slots.begin(row.slot, row.prompt) for row in rows]

    def _read_prompts(self, rows: Sequence[NewRow]) -> FirstTokens:
        if not rows:
            return []
        slots, prompts = [row.slot for row in rows], [row.prompt + row.given for row in rows]
        starts = self._begin(rows)
        if max(starts) + max(map(sub, map(len, prompts), starts)) > self._slots.context_tokens:
            starts = [0] * len(rows)  # a shorter rest is padded to the longest one, and would pass the end of its slot
        queries = explained_queries(rows, starts)

        def read() -> tuple[Tensor, AttentionRecorder | None]:
            recorder = AttentionRecorder.over(queries)
            return self._model.prefill(self._slots, slots, prompts, starts, recorder), recorder

        logits, recorder = with_room(read, self._make_room)
        self._running.record(slots, recorder)
        return list(zip(rows, self._choose(slots, logits), strict=True))

    def _read_choices(self, offered: Sequence[tuple[NewRow, ChoiceTree]]) -> FirstTokens:
        """Read prompts with their choices, and return the first token of the choice that each row takes."""
        if not offered:
            return []
        rows, trees = [row for row, _ in offered], [tree for _, tree in offered]
        slots, prompts, starts = [row.slot for row in rows], [row.prompt for row in rows], self._begin(rows)
        queries = explained_queries(rows, starts)

        def read() -> tuple[list[Tensor], AttentionRecorder | None]:
            recorder = AttentionRecorder.over(queries)
            return self._model.prefill_choices(self._slots, slots, prompts, starts, trees, recorder), recorder

        edges, recorder = with_room(read, self._make_room)
        self._running.record(slots, recorder)
        chosen = [choose_choice(found, tree, row.sampling) for (row, tree), found in zip(offered, edges, strict=True)]
        return [
            (row, self._running.answer(row.slot, choice, tree))
            for (row, tree), choice in zip(offered, chosen, strict=True)
        ]
