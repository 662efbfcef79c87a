"""Prompts that are too long for the context by their bytes alone."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from model.checkpoint.checkpoint import Checkpoint
from model.request import Sampling
from service.api.answering.room import check_lengths
from service.errors import InvalidField
from service.messages.rows import Row


def queue_of(tiny: Checkpoint) -> Mock:
    tokenizer = Mock(wraps=tiny.tokenizer)
    tokenizer.encode.side_effect = AssertionError("nobody counts")
    queue = Mock()
    queue.loaded.return_value.context_tokens = 512
    queue.tokenizer.return_value = tokenizer
    return queue


def rows(*instructions: str) -> list[Row]:
    return [Row(str(index), text, Sampling()) for index, text in enumerate(instructions)]


def test_a_book_is_refused_uncounted_and_what_may_fit_is_not(tiny: Checkpoint) -> None:
    queue = queue_of(tiny)
    check_lengths(queue, rows("What?", "why " * 120, "w" * 600))
    with pytest.raises(
        InvalidField, match=r"question: its prompt of [0-9]+ tokens or more fills the context of 512 tok"
    ):
        check_lengths(queue, rows("What?", "why " * 1_000_000))
