"""Rows of tokens from turns: input tokens, labels, and the attention between them.

Several turns about one image share a row: the tokens all prompts begin with are read once, and each turn sees those
and itself only, so that the row says exactly what separate rows would say. Knows no pixels and no batches. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model.data.samples import Turn
from model.prompt import render
from model.tokenizer import TextTokenizer, shared_tokens

NOTHING = -100  # the label of a token after which nothing has to be said; torch's `ignore_index`
SHARED, PADDING = 0, -1  # in `Row.turns`: tokens every turn sees; tokens nobody sees


class RowError(ValueError):
    """Turns that do not fit into the model's context; the message says by how much."""


@dataclass(frozen=True, slots=True)
class TokenRow:
    """Tokens of the turns about one image, side by side; all tensors of one length.

    Attributes:
        ids: tokens.
        positions: of each token in its own turn's text.
        turns: which turn a token belongs to, from 1; `SHARED` for the tokens all turns begin with.
        labels: the token that must follow in the same turn, if it is part of a response; else `NOTHING`.
    """

    ids: tuple[int, ...]
    positions: tuple[int, ...]
    turns: tuple[int, ...]
    labels: tuple[int, ...]


def row_of(turns: Sequence[Turn], tokenizer: TextTokenizer, max_positions: int) -> TokenRow:
    """Build the row of some turns about one image.

    A response is learned as it is generated: a space, its text, the end token.

    Raises:
        RowError: a turn is longer than the model's context.
    """
    for turn in turns:
        fewest = tokenizer.fewest_tokens(render(turn.instruction)) + tokenizer.fewest_tokens(turn.response)
        if fewest > max_positions:  # encoding takes a hundred times the memory of the text
            raise _too_long(f"more than {fewest - 1}", max_positions)
    prompts = [tokenizer.encode(render(turn.instruction)) for turn in turns]
    responses = [[*tokenizer.encode(" " + turn.response), tokenizer.eos_id] for turn in turns]
    for prompt, response in zip(prompts, responses, strict=True):
        if len(prompt) + len(response) > max_positions:
            raise _too_long(f"{len(prompt) + len(response)}", max_positions)
    shared = shared_tokens(prompts)
    ids, positions = list(prompts[0][:shared]), list(range(shared))
    turn_numbers, labels = [SHARED] * shared, [NOTHING] * shared
    for number, (prompt, response) in enumerate(zip(prompts, responses, strict=True), start=1):
        own = [*prompt[shared:], *response]
        silent = len(prompt) - shared - 1  # the prompt's last token is the first that has something to say
        ids += own
        positions += range(shared, shared + len(own))
        turn_numbers += [number] * len(own)
        labels += [*[NOTHING] * silent, *response, NOTHING]
    return TokenRow(tuple(ids), tuple(positions), tuple(turn_numbers), tuple(labels))


def _too_long(length: str, max_positions: int) -> RowError:
    return RowError(f"{length} tokens of instruction and response; the model reads {max_positions}")
