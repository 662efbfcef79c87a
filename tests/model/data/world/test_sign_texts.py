"""What signs say: how long it is, and which letters and digits it is made of."""

from random import Random

from model.data.world.sign_texts import (
    DIGITS,
    LETTERS,
    long_sign_text,
    lower_case,
    number,
    sign_text,
    varied_sign_text,
)
from model.data.world.words import LONG_SIGN_WORDS, SIGN_WORDS

VARIED = [varied_sign_text(Random(f"varied {index}")) for index in range(1000)]


def test_an_ordinary_text_has_two_to_six_letters_or_digits_but_no_zero():
    texts = [sign_text(Random(f"plain {index}")) for index in range(300)]
    assert {len(text) for text in texts} == {2, 3, 4, 5, 6}
    assert {letter for text in texts for letter in text} == set(LETTERS + DIGITS)
    assert any(text in SIGN_WORDS for text in texts)


def test_varied_texts_are_longer_now_and_then_and_have_zeros_in_numbers_alone():
    assert 0.1 < sum(len(text) > 6 for text in VARIED) / len(VARIED) < 0.22, "words in lower case among them"
    assert max(len(text) for text in VARIED) == 10
    zeros = [text for text in VARIED if "0" in text]
    assert 0.07 < len(zeros) / len(VARIED) < 0.17
    assert all(text.isdigit() for text in zeros)


def test_varied_texts_are_in_lower_case_now_and_then():
    assert 0.15 < sum(text != text.upper() for text in VARIED) / len(VARIED) < 0.25


def test_a_text_in_lower_case_is_a_word_or_none_and_has_a_letter_unlike_its_capital():
    texts = [lower_case(Random(index)) for index in range(300)]
    assert {text.upper() in SIGN_WORDS + LONG_SIGN_WORDS for text in texts} == {True, False}
    assert {text == text.lower() for text in texts} == {True, False}
    assert all(set(text[1:]) & set("abdefghijmnqrty") for text in texts)
    assert not set("".join(texts).lower()) - set(LETTERS.lower())


def test_a_number_has_a_zero_and_a_long_text_is_a_word_or_none():
    assert all("0" in number(Random(index)) for index in range(100))
    texts = [long_sign_text(Random(index)) for index in range(100)]
    assert {text in LONG_SIGN_WORDS for text in texts} == {True, False}
    assert all(7 <= len(text) <= 10 for text in texts)


def test_long_words_have_seven_to_ten_capitals_and_come_once():
    assert all(7 <= len(word) <= 10 and set(word) <= set(LETTERS) for word in LONG_SIGN_WORDS)
    assert len(set(LONG_SIGN_WORDS)) == len(LONG_SIGN_WORDS)
