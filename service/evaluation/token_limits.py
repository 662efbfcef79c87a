"""Limits on the tokens of an answer in an evaluation, by kind: enough that none is cut. Data alone."""

from __future__ import annotations

WORD_TOKENS = 20  # a word, a number, a letter
SENTENCE_TOKENS = 64  # a short caption
SCENE_TOKENS = 120  # everything in a synthetic scene
TEXT_TOKENS = 400  # a long description
