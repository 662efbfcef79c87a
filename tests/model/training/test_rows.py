"""Rows of tokens: what is shared, what is learned, what is refused."""

from __future__ import annotations

import pytest

from model.data.samples import Turn
from model.prompt import render
from model.tokenizer import TextTokenizer
from model.training.rows import NOTHING, SHARED, RowError, row_of

TOKENIZER = TextTokenizer.for_random_weights(300)


def test_one_turn_is_its_prompt_and_then_its_response() -> None:
    row = row_of([Turn("Why?", "no")], TOKENIZER, 512)
    prompt, response = TOKENIZER.encode(render("Why?")), [*TOKENIZER.encode(" no"), TOKENIZER.eos_id]
    assert list(row.ids) == prompt + response
    assert list(row.positions) == list(range(len(row.ids)))


def test_only_the_response_and_its_end_are_learned() -> None:
    row = row_of([Turn("Why?", "no")], TOKENIZER, 512)
    learned = [(place, label) for place, label in enumerate(row.labels) if label != NOTHING]
    assert [label for _, label in learned] == [*TOKENIZER.encode(" no"), TOKENIZER.eos_id]
    assert all(row.ids[place + 1] == label for place, label in learned)


def test_turns_share_what_all_prompts_begin_with_and_start_again_behind_it() -> None:
    turns = [Turn("Why?", "no"), Turn("Who is it?", "a cat")]
    row = row_of(turns, TOKENIZER, 512)
    shared = [token for token, turn in zip(row.ids, row.turns, strict=True) if turn == SHARED]
    assert TOKENIZER.decode(shared) == render("Wh").removesuffix("\nOutput:")
    for number, turn in enumerate(turns, start=1):
        own = [place for place, each in enumerate(row.turns) if each == number]
        text = TOKENIZER.decode([*shared, *(row.ids[place] for place in own)])
        assert text == render(turn.instruction) + " " + turn.response
        assert [row.positions[place] for place in own] == list(range(len(shared), len(shared) + len(own)))


def test_the_same_instruction_twice_keeps_a_token_of_its_own_for_each_turn() -> None:
    row = row_of([Turn("Why?", "no"), Turn("Why?", "yes")], TOKENIZER, 512)
    firsts = [row.labels[row.turns.index(number)] for number in (1, 2)]
    assert firsts == [TOKENIZER.encode(" no")[0], TOKENIZER.encode(" yes")[0]]
    assert row.ids[row.turns.index(2)] == TOKENIZER.encode(":")[0]


def test_a_turn_longer_than_the_context_is_refused_with_its_length() -> None:
    length = len(TOKENIZER.encode(render("Why?"))) + len(TOKENIZER.encode(" no")) + 1
    row_of([Turn("Why?", "no")], TOKENIZER, length)
    with pytest.raises(RowError, match=f"{length} tokens of instruction and response; the model reads {length - 1}"):
        row_of([Turn("Why?", "no")], TOKENIZER, length - 1)


def test_what_looks_like_a_special_token_in_a_text_is_learned_as_text() -> None:
    row = row_of([Turn("Why?", "<|endoftext|>")], TOKENIZER, 512)
    assert list(row.labels).count(TOKENIZER.eos_id) == 1


def test_a_text_whose_length_alone_is_too_much_is_refused_before_it_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TextTokenizer, "encode", lambda *_: pytest.fail("encoded"))
    with pytest.raises(RowError, match=r"more than \d+ tokens of instruction and response; the model reads 512"):
        row_of([Turn("Why?", "no " * 10_000)], TOKENIZER, 512)
