"""How many tokens an answer of each kind may have in an evaluation: room enough, so that none is cut. Data alone."""

from __future__ import annotations

WORD_TOKENS = 20  # a word, a number, a letter
SENTENCE_TOKENS = 64  # a short caption
SCENE_TOKENS = 120  # everything in a synthetic scene
TEXT_TOKENS = 400  # a long description
