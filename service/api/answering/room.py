"""Room of rows in the model's context: whether prompt, choices and answer fit, counted in this process.

Says the same as the engine in the worker would, and in time for a plain error. Counting is slow for long prompts, so it
is done on a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from model.choices import ChoiceTree
from model.prompt import render
from service.api.answering.estimate import AskedRow
from service.api.parts import ServiceParts
from service.dispatch.queue import RequestQueue
from service.errors import InvalidField
from service.messages.rows import Row
from service.worker.answer_length import NoRoomError, answer_tokens, check_choices_fit, check_length

SPARE_TOKENS = 8  # for what a tokenizer puts around a prompt


def check_lengths(queue: RequestQueue, rows: Sequence[Row]) -> None:
    """Check that no prompt is too long for the context by its bytes alone, so that nobody counts a book's tokens.

    Raises:
        InvalidField: one is.
        Unavailable: no model has been loaded yet.
    """
    context_tokens = queue.loaded().context_tokens
    for text in {row.instruction for row in rows if _bytes(row.instruction) >= context_tokens}:
        try:
            check_length(queue.tokenizer().fewest_tokens(text), context_tokens)
        except NoRoomError as error:
            queue.count_drop("refused")
            raise InvalidField(str(error)) from None


async def check_room(parts: ServiceParts, rows: Sequence[Row]) -> None:
    """Check that rows fit: of a stream that has begun, the engine could refuse none plainly.

    Raises:
        InvalidField: one does not.
        Unavailable: no model has been loaded yet.
    """
    context_tokens = parts.queue.loaded().context_tokens
    # A token is a byte at least, so nothing has to be counted for the prompts that people write.
    if all(_most_tokens(row) <= context_tokens for row in rows):
        return
    count = partial(asked_rows, parts.queue, rows, context_tokens)
    try:
        await asyncio.get_running_loop().run_in_executor(parts.executor, count)
    except InvalidField:
        parts.queue.count_drop("refused")
        raise


def asked_rows(queue: RequestQueue, rows: Sequence[Row], context_tokens: int) -> list[AskedRow]:
    """Count the tokens of rows, which have the same choices, if any; slow, and safe from any thread.

    Raises:
        InvalidField: a row does not fit.
        Unavailable: no model has been loaded yet.
    """
    tree = ChoiceTree.written(rows[0].choices, queue.tokenizer()) if rows[0].choices else None
    return [_asked_row(queue.count_tokens(row.instruction), row, tree, context_tokens) for row in rows]


def _asked_row(prompt_tokens: int, row: Row, tree: ChoiceTree | None, context_tokens: int) -> AskedRow:
    try:
        if tree is not None:
            check_choices_fit(len(tree), prompt_tokens, context_tokens)
            return AskedRow(prompt_tokens, max(map(len, tree.paths)) + 1, len(tree))
        most = answer_tokens(row.sampling.max_tokens, prompt_tokens, context_tokens, may_shorten=row.may_shorten)
    except NoRoomError as error:
        raise InvalidField(str(error)) from None
    return AskedRow(prompt_tokens, most)


def _most_tokens(row: Row) -> int:
    answer = sum(map(_bytes, row.choices)) if row.choices else row.sampling.max_tokens
    return _bytes(render(row.instruction)) + answer + SPARE_TOKENS


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))
