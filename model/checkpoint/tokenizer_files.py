"""Tokenizer of a checkpoint, from its files.

Knows which files there may be, and what in them could take for ever; what a tokenizer does is `model.tokenizer`'s. Any
thread or process.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from model.checkpoint.files import CheckpointFileError, check_file, read_json_object, shown
from model.tokenizer import TextTokenizer, TokenizerError

MAX_TOKENIZER_BYTES = 32 << 20  # a vocabulary of 51,200 has 2 MB
# A text with each byte that UTF-8 has. No space comes first: a tokenizer may put one there.
_CODES = (*range(33, 0x100), *range(33), *range(0x100, 0x800, 0x40), *range(0x800, 0xD800, 0x800))
_EVERY_BYTE = "".join(map(chr, (*_CODES, 0xE000, 0xF000, *range(0x10000, 0x110000, 0x10000))))
_LOOKS = re.compile(r"\(\?<?[=!]")
_CHOICES = re.compile(r"[*+?{|]|\\[0-9gkKRX]")  # what a regular expression may have to try again and again


def read_tokenizer(folder: Path) -> TextTokenizer:
    """Read `tokenizer.json`, or the older files that transformers can convert; its `eos_token` ends answers.

    Raises:
        TokenizerError: it is not byte-level, could take for ever, or its end token is not in its vocabulary.
        CheckpointFileError: a file is missing, too large or no JSON object.
    """
    path = folder / "tokenizer.json"
    tokenizer = _from_json(path) if path.exists() else _from_older_files(folder)
    tokenizer.no_padding()  # a file may ask for any length
    tokenizer.no_truncation()
    settings = read_json_object(folder / "tokenizer_config.json")
    eos = settings.get("eos_token")
    eos = eos.get("content") if isinstance(eos, dict) else eos
    eos_id: int | None = tokenizer.token_to_id(eos) if isinstance(eos, str) else None
    if eos_id is None:
        raise TokenizerError(f"{folder}/tokenizer_config.json: eos_token {shown(eos)!r} is not in the vocabulary")
    made = TextTokenizer(tokenizer, eos_id)
    if made.decode(made.encode(_EVERY_BYTE)).removeprefix(" ") != _EVERY_BYTE:
        raise TokenizerError(f"{folder}: it loses or changes text: every byte must be a token, and none be left out")
    return made


def _from_json(path: Path) -> Tokenizer:
    raw = read_json_object(path, MAX_TOKENIZER_BYTES)
    _check_parts(raw, path)
    try:
        return Tokenizer.from_str(json.dumps(raw))  # what was checked, and not the file, which may say a thing twice
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library raises plain Exception, and a panic of Rust is none even of those
        raise TokenizerError(f"{path}: not a tokenizer: {shown(error)}") from None


def _from_older_files(folder: Path) -> Tokenizer:
    if not (folder / "vocab.json").exists():
        raise CheckpointFileError(f"{folder}/tokenizer.json: there is no such file, nor the older vocab.json")
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        check_file(folder / name, MAX_TOKENIZER_BYTES)
    from transformers import AutoTokenizer

    try:
        # Without the last two words the library may ask at the terminal whether to run code, or ask the hub.
        loaded = AutoTokenizer.from_pretrained(folder, use_fast=True, trust_remote_code=False, local_files_only=True)
        tokenizer: Tokenizer = loaded.backend_tokenizer
        _check_parts(json.loads(tokenizer.to_str()), folder)
    except TokenizerError:
        raise
    except Exception as error:  # whatever the library meets in a stranger's files
        raise TokenizerError(f"{folder}: not a tokenizer that can be read: {shown(error)}") from None
    return tokenizer


def _check_parts(raw: Mapping[str, Any], path: Path) -> None:
    """Refuse parts that could make a long text of a short one, or look for a pattern for ever."""
    model = raw.get("model")
    kind = model.get("type", "BPE") if isinstance(model, dict) else None
    if not isinstance(model, dict) or kind != "BPE":
        raise TokenizerError(f"{path}: model: a byte-level BPE is needed, not {shown(kind)}")
    if model.get("dropout"):
        raise TokenizerError(f"{path}: dropout: there must be none: a text would have other tokens each time")
    if raw.get("normalizer") is not None:
        raise TokenizerError(f"{path}: normalizer: there must be none, so that text reaches the model as it is")
    for part in _pre_tokenizers(raw.get("pre_tokenizer")):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "ByteLevel" or (kind == "Split" and _is_quick(part.get("pattern"))):
            continue
        raise TokenizerError(
            f"{path}: pre_tokenizer: {shown(kind)} is not one that is served: ByteLevel, or Split by a pattern "
            "without repetition and alternatives"
        )


def _pre_tokenizers(raw: Any) -> Iterator[Any]:
    if isinstance(raw, dict) and raw.get("type") == "Sequence":
        parts = raw.get("pretokenizers")
        yield from parts if isinstance(parts, list) else [parts]
    elif raw is not None:
        yield raw


def _is_quick(pattern: Any) -> bool:
    """Return whether a pattern is found in a time that grows with the text alone: there is nothing to try twice."""
    if not isinstance(pattern, dict) or len(pattern) != 1:
        return False
    text = pattern.get("Regex")
    return "String" in pattern or (isinstance(text, str) and _CHOICES.search(_LOOKS.sub("(", text)) is None)
