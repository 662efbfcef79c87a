"""Captions as words: cut as Stanford's tokenizer cut them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model.evaluation.metrics.words import caption_words

GOLDEN: list[dict[str, Any]] = json.loads(Path(__file__).with_name("golden_metrics.json").read_text())["words"]


@pytest.mark.parametrize("case", GOLDEN, ids=[case["caption"][:40].strip() or "nothing" for case in GOLDEN])
def test_the_words_are_those_of_the_public_tokenizer(case: dict[str, Any]) -> None:
    assert caption_words(case["caption"]) == case["words"]


@pytest.mark.parametrize(
    "caption", ["a red bus", "A red bus.", " a  RED\nbus ", "A red, bus!", '"A red bus"', "a red bus -"]
)
def test_case_spaces_and_punctuation_do_not_matter(caption: str) -> None:
    assert caption_words(caption) == ["a", "red", "bus"]


def test_any_text_can_be_cut() -> None:
    assert caption_words("\x00 \ud800 \u202e \N{GRINNING FACE} ") is not None
    assert caption_words("(" * 500) == ["-lrb-"] * 500
    assert caption_words("a-" * 500) == ["a" + "-a" * 499]
