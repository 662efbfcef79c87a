"""Room of rows in the model's context: whether prompt, choices and answer fit, counted in this process.

Says the same as the engine in the worker would, and in time for a plain error. Counting is slow for long prompts, so it
is done on threads that clients share fairly. Event loop.
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
from service.dispatch.reservation import Reservation
from service.errors import InvalidField
from service.messages.rows import Row
from service.worker.answer_length import NoRoomError, answer_tokens, check_choices_fit, check_length

SPARE_TOKENS = 8  # for what a tokenizer puts around a prompt


async def check_room(parts: ServiceParts, rows: Sequence[Row], reservation: Reservation, *, streamed: bool) -> None:
    """Check that rows fit: by their lengths alone, and exactly where the engine could refuse none plainly.

    Args:
        parts: the service's.
        rows: of one request.
        reservation: theirs, whose deadline holds here too.
        streamed: a stream that has begun has no status left for a refusal.

    Raises:
        InvalidField: one does not.
        DeadlineExceeded: the reservation's time is over.
        Unavailable: no model has been loaded yet.
    """
    context_tokens = parts.queue.loaded().context_tokens
    # A token is a byte at least, so nothing has to be counted for the prompts that people write.
    counted = streamed and any(_most_tokens(row) > context_tokens for row in rows)
    try:
        if not counted:
            check_lengths(parts.queue, rows)
            return
        async with asyncio.timeout(reservation.left_s):
            await asked_rows(parts, rows, reservation.flow.client)
    except TimeoutError:
        raise reservation.expired() from None
    except InvalidField:
        parts.queue.count_drop("refused")
        raise


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
            raise InvalidField(str(error)) from None


async def asked_rows(parts: ServiceParts, rows: Sequence[Row], client: str) -> list[AskedRow]:
    """Count the tokens of rows, which have the same choices, if any.

    It is a piece of work for each row, so that clients take turns, and nothing more begins for one that has hung up.

    Raises:
        InvalidField: a row does not fit.
        Unavailable: no model has been loaded yet.
    """
    queue, tokenizer, choices = parts.queue, parts.queue.tokenizer(), rows[0].choices
    context_tokens, run = queue.loaded().context_tokens, partial(parts.counting.run, client)
    await run(partial(check_lengths, queue, rows))
    tree = await run(partial(ChoiceTree.written, choices, tokenizer)) if choices else None
    return [
        _asked_row(await run(partial(queue.count_tokens, row.instruction)), row, tree, context_tokens) for row in rows
    ]


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
