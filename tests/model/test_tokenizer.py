"""Text to tokens and back, against the tokenizers library's own decoder."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from model.checkpoint.tokenizer_files import read_tokenizer
from model.tokenizer import END_OF_TEXT, TextTokenizer, TokenizerError
from tests.support.golden import OWN_GOLDEN

GOLDEN = read_tokenizer(OWN_GOLDEN / "x2-l2" / "tokenizer")
LIBRARY = Tokenizer.from_file(str(OWN_GOLDEN / "x2-l2" / "tokenizer" / "tokenizer.json"))
TOKENS = st.lists(st.integers(0, 383), max_size=40)  # the model's vocabulary is larger than the tokenizer's


@given(TOKENS)
def test_whole_sequences_decode_as_the_library_decodes_them(tokens: list[int]) -> None:
    assert GOLDEN.decode(tokens) == LIBRARY.decode(tokens, skip_special_tokens=True)


@given(TOKENS)
def test_streamed_pieces_add_up_to_the_whole_text(tokens: list[int]) -> None:
    stream = GOLDEN.stream()
    assert "".join([*map(stream.push, tokens), stream.finish()]) == GOLDEN.decode(tokens)


@given(st.text(max_size=60))
def test_a_character_is_never_cut_and_text_survives_the_round_trip(text: str) -> None:
    stream = GOLDEN.stream()
    pieces = [stream.push(token) for token in GOLDEN.encode(text)]
    assert "\ufffd" not in "".join(pieces).replace(text, "")
    assert "".join(pieces) == text


@given(TOKENS, st.lists(st.text("5VT ae{", min_size=1, max_size=4), max_size=3))
def test_text_ends_before_the_first_stop_string_however_tokens_cut_it(tokens: list[int], stops: list[str]) -> None:
    stream, shown = GOLDEN.stream(stops), ""
    for token in tokens:
        shown += stream.push(token)
        assert not any(stop in shown for stop in stops)
        if stream.stopped:
            break
    shown += stream.finish()
    whole = GOLDEN.decode(tokens)
    cuts = [whole.find(stop) for stop in stops if stop in whole]
    if stream.stopped:
        assert shown == whole[: min(cuts)]
    else:
        assert not cuts
        assert shown == whole


def test_a_literal_end_of_text_in_user_text_is_plain_text() -> None:
    ids = GOLDEN.encode(f"a{END_OF_TEXT}b")
    assert GOLDEN.eos_id not in ids
    assert GOLDEN.decode(ids) == f"a{END_OF_TEXT}b"


def test_saved_tokenizers_load_again(tmp_path: pytest.TempPathFactory) -> None:
    made = TextTokenizer.for_random_weights(300)
    made.save(tmp_path)
    again = read_tokenizer(tmp_path)
    assert again.eos_id == made.eos_id
    assert again.encode("héllo 🦊") == made.encode("héllo 🦊")


def test_an_end_token_outside_the_vocabulary_is_refused_by_name(tmp_path) -> None:
    TextTokenizer.for_random_weights(300).save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "</s>"}')
    with pytest.raises(TokenizerError, match="'</s>'"):
        read_tokenizer(tmp_path)


def test_a_tokenizer_that_is_not_byte_level_is_refused() -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.decoder = decoders.Metaspace()
    with pytest.raises(TokenizerError, match="byte-level"):
        TextTokenizer(tokenizer, 0)


@given(
    st.text("ab \u00e9\u2603\U0001f600", max_size=12),
    st.lists(st.text("ab \u2603", min_size=1, max_size=3), max_size=2),
)
def test_the_tokens_shown_are_those_whose_text_has_begun(text: str, stops: list[str]) -> None:
    tokens = GOLDEN.encode(text)
    stream, shown = GOLDEN.stream(stops), ""
    for place, token in enumerate(tokens):
        shown += stream.push(token)
        assert stream.shown_tokens <= place + 1
    shown += stream.finish()
    whole = b"".join(map(GOLDEN.token_bytes, tokens))
    before = [len(whole[: len(b"".join(map(GOLDEN.token_bytes, tokens[:place])))].decode(errors="ignore"))
              for place in range(len(tokens))]  # fmt: skip
    assert stream.shown_tokens == sum(start < len(shown) for start in before)


@given(st.text())
def test_a_text_takes_no_fewer_tokens_than_its_length_says(text: str) -> None:
    assert GOLDEN.fewest_tokens(text) <= len(GOLDEN.encode(text))
