"""Rows as the engine keeps them, made from what clients ask: the prompt, the choices, the room for an answer.

Called by the engine's thread; changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from service.worker.answer_length import answer_tokens, check_choices_fit, check_length
from service.worker.rows import EngineRow

if TYPE_CHECKING:
    from model.choices import ChoiceTree
    from model.pixels.tiles import TiledImage
    from model.runtime.runner import ModelRunner
    from service.messages.rows import Row


def new_row(runner: ModelRunner, row: Row, image: TiledImage, now_s: float) -> EngineRow:
    """Prepare the state of a row that came at `now_s`.

    Raises:
        NoRoomError: it cannot fit.
    """
    context = runner.context_tokens
    check_length(runner.tokenizer.fewest_tokens(row.instruction), context)
    prompt = runner.prompt(row.instruction)
    if row.choices:
        tree, stream = _choice_tree(runner, row.choices, context - len(prompt)), runner.text_stream(())
        check_choices_fit(len(tree), len(prompt), context)
        return EngineRow(row, image, prompt, len(tree) + 1, stream, now_s, [], tree)
    asked = row.sampling.max_tokens
    max_tokens = answer_tokens(asked, len(prompt), context, may_shorten=row.may_shorten)
    stream = runner.text_stream(row.sampling.stop)
    pieces = [stream.push(token) for token in row.given]  # its client has the text already
    return EngineRow(row, image, prompt, max_tokens, stream, now_s, pieces)


def _choice_tree(runner: ModelRunner, choices: Sequence[str], room: int) -> ChoiceTree:
    """Build the tree of choices, beside the sentence for pictures outside the model's world if there is room."""
    tree = runner.choice_tree(choices, refusable=True)
    return tree if len(tree) <= room else runner.choice_tree(choices)
