"""Tokenizer: text to tokens and tokens to text, exactly and incrementally.

Wraps a byte-level `tokenizers` tokenizer: user text never becomes a special token, and generated tokens turn into text
piece by piece without ever cutting a UTF-8 character or showing the beginning of a stop string. A `TextStream` belongs
to one request; a `TextTokenizer` may be shared by threads.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

END_OF_TEXT = "<|endoftext|>"
_NORMALIZED = 4  # bytes that one may stand for behind Unicode's normalization


class TokenizerError(ValueError):
    """Tokenizer that cannot be used; the message says why."""


def _byte_alphabet() -> dict[str, int]:
    """Return the printable character that stands for each byte in a byte-level vocabulary (GPT-2's convention)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}


_ALPHABET = _byte_alphabet()


class TextTokenizer:
    """Byte-level BPE tokenizer of a checkpoint.

    Raises:
        TokenizerError: it is not byte-level.
    """

    def __init__(self, tokenizer: Tokenizer, eos_id: int) -> None:
        if type(tokenizer.decoder).__name__ != "ByteLevel":
            raise TokenizerError(f"a byte-level tokenizer is needed, not one with decoder {tokenizer.decoder}")
        # Otherwise a literal <|endoftext|> in a question would reach the model as the end of the text.
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer
        self.eos_id = eos_id
        added = tokenizer.get_added_tokens_decoder()
        self._special = frozenset(token for token, content in added.items() if content.special)
        self._most_bytes = 0  # of a token's text; counted when it is asked for

    @classmethod
    def for_random_weights(cls, vocab_size: int) -> TextTokenizer:
        """Build a tokenizer for random weights: every byte, an end token, and made-up words up to `vocab_size`."""
        vocab = dict.fromkeys(sorted(_ALPHABET), 0) | {END_OF_TEXT: 0}
        vocab |= {f"Ġw{number}": 0 for number in range(vocab_size - len(vocab))}
        vocab_ids = {token: place for place, token in enumerate(vocab)}
        tokenizer = Tokenizer(models.BPE(vocab=vocab_ids, merges=[]))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.add_special_tokens([AddedToken(END_OF_TEXT, special=True)])
        return cls(tokenizer, vocab_ids[END_OF_TEXT])

    def __reduce__(self) -> tuple[type[TextTokenizer], tuple[Tokenizer, int]]:
        # The library forgets `encode_special_tokens` when it is sent to another process; the constructor sets it again.
        return TextTokenizer, (self._tokenizer, self.eos_id)

    @property
    def largest_id(self) -> int:
        """The largest token id that a text may have."""
        return max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=0)

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        self._tokenizer.save(str(folder / "tokenizer.json"))
        eos = self._tokenizer.id_to_token(self.eos_id)
        (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": eos}) + "\n", encoding="utf-8")

    def encode(self, text: str) -> list[int]:
        """Return the token ids of plain text; nothing is added before or behind."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def fewest_tokens(self, text: str) -> int:
        """Return how many tokens a text takes at least, from its length alone: it may be too long to encode."""
        if not self._most_bytes:
            vocab = self._tokenizer.get_vocab(with_added_tokens=True)
            self._most_bytes = max(len(token.encode()) for token in vocab)
            if self._tokenizer.normalizer is not None:
                self._most_bytes *= _NORMALIZED
        return -(-len(text.encode()) // self._most_bytes)

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes a token stands for; none for special tokens and for ids beyond the vocabulary."""
        content = self._tokenizer.id_to_token(token)
        if content is None or token in self._special:
            return b""
        try:
            return bytes(_ALPHABET[character] for character in content)
        except KeyError:  # an added token is plain text
            return str(content).encode()

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text of a whole sequence; what is not UTF-8 becomes U+FFFD."""
        return b"".join(self.token_bytes(token) for token in tokens).decode("utf-8", errors="replace")

    def stream(self, stop: Sequence[str] = ()) -> TextStream:
        """Return a new incremental decoder."""
        return TextStream(self, stop)


class TextStream:
    """Incremental decoder that turns one answer's tokens into text as they come.

    Attributes:
        stopped: a stop string has appeared; its text and what follows are never given out.
        shown_tokens: tokens from the first one on whose text has been given out, or the beginning of it.
    """

    def __init__(self, tokenizer: TextTokenizer, stop: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._stop = tuple(stop)
        self._held = ""
        self._starts: list[int] = []  # where the text of each token begins, in characters
        self._decoded = self._shown = 0  # characters
        self.stopped = False
        self.shown_tokens = 0

    def push(self, token: int) -> str:
        """Return the text that can be shown now that `token` has come."""
        self._starts.append(self._decoded)
        return self._release(self._decoder.decode(self._tokenizer.token_bytes(token)))

    def finish(self) -> str:
        """Return the text still held back when the answer ends."""
        rest = self._release(self._decoder.decode(b"", final=True))
        held, self._held = self._held, ""
        return rest if self.stopped else rest + self._show(held)

    def _show(self, text: str) -> str:
        self._shown += len(text)
        while self.shown_tokens < len(self._starts) and self._starts[self.shown_tokens] < self._shown:
            self.shown_tokens += 1
        return text

    def _release(self, text: str) -> str:
        if self.stopped:
            return ""
        self._decoded += len(text)
        self._held += text
        found = [place for place in map(self._held.find, self._stop) if place >= 0]
        if found:
            self.stopped = True
            cut = min(found)
        else:
            cut = len(self._held) - self._possible_stop()
        shown, self._held = self._held[:cut], self._held[cut:]
        return self._show(shown)

    def _possible_stop(self) -> int:
        """Return the length of the longest end of the held text that may be the beginning of a stop string."""
        longest = max((len(stop) for stop in self._stop), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stop):
                return length
        return 0


def shared_tokens(prompts: Sequence[Sequence[int]]) -> int:
    """Count the tokens that all prompts begin with, leaving each at least one of its own to get logits from.

    >>> shared_tokens([[1, 2, 3], [1, 2, 4]]), shared_tokens([[1, 2], [1, 2]]), shared_tokens([[1, 2]])
    (2, 1, 1)
    """
    longest = min(map(len, prompts)) - 1
    columns = zip(*prompts, strict=False)
    return next((place for place, column in enumerate(columns) if place == longest or len(set(column)) > 1), longest)
