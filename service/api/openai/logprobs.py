"""Log-probabilities in OpenAI's shape: tokens as text and bytes, each with the most probable tokens in its place.

Knows no HTTP. One `ChatLogprobs` is used by one task.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from model.tokenizer import TextTokenizer
from service.api.openai.responses import LogprobFields, TokenLogprobFields, TopLogprobFields
from service.messages.from_worker import Delta, Finished

LEAST = -9999.0  # OpenAI's word for a token that is out of the question; JSON has none for minus infinity


@dataclass(slots=True)
class ChatLogprobs:
    """The log-probabilities of an answer, as its tokens come.

    A token is told with the text that it begins. Those whose text never comes, as of a stop string, are not told.

    Attributes:
        tokenizer: from token ids to bytes.
    """

    tokenizer: TextTokenizer
    _tokens: list[TokenLogprobFields] = field(default_factory=list)
    _shown: int = 0
    _told: int = 0

    def take(self, event: Delta | Finished) -> None:
        """Add an event of the answer's row."""
        if isinstance(event, Delta):
            for token, told in zip(event.tokens, event.logprobs, strict=True):
                top = [self._fields(other, logprob) for other, logprob in told.top]
                own = self._fields(token, told.logprob)
                self._tokens.append(
                    TokenLogprobFields(token=own.token, logprob=own.logprob, bytes=own.bytes, top_logprobs=top)
                )
        self._shown = event.shown_tokens

    def new(self) -> LogprobFields | None:
        """Return what was not told yet, or None if there is nothing."""
        new, self._told = self._tokens[self._told : self._shown], self._shown
        return LogprobFields(content=new, refusal=None) if new else None

    def all(self) -> LogprobFields:
        """Return those of the whole answer."""
        return LogprobFields(content=self._tokens[: self._shown], refusal=None)

    def _fields(self, token: int, logprob: float) -> TopLogprobFields:
        content = self.tokenizer.token_bytes(token)
        text = content.decode("utf-8", errors="backslashreplace")
        return TopLogprobFields(token=text, logprob=max(logprob, LEAST), bytes=list(content))
