"""Tokenizer of a checkpoint, from its files.

Knows which files there may be; what a tokenizer does is `model.tokenizer`'s. Any thread or process.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from model.tokenizer import TextTokenizer, TokenizerError


def read_tokenizer(folder: Path) -> TextTokenizer:
    """Read `tokenizer.json`, or the older files that transformers can convert; its `eos_token` ends answers.

    Raises:
        TokenizerError: it is not byte-level, or its end token is not in its vocabulary.
        OSError: a file is missing.
    """
    path = folder / "tokenizer.json"
    if path.exists():
        tokenizer = Tokenizer.from_file(str(path))
    else:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=True).backend_tokenizer
    settings: dict[str, Any] = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    eos = settings.get("eos_token")
    eos = eos["content"] if isinstance(eos, dict) else eos
    eos_id: int | None = None if eos is None else tokenizer.token_to_id(eos)
    if eos_id is None:
        raise TokenizerError(f"{folder}/tokenizer_config.json: eos_token {eos!r} is not in the vocabulary")
    return TextTokenizer(tokenizer, eos_id)
