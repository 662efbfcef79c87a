"""Limits on the length of an answer, from the room that its prompt leaves in the context.

Pure; safe from any thread or process.
"""

from __future__ import annotations


class NoRoomError(ValueError):
    """An answer does not fit behind its prompt.

    Attributes:
        field: what the client would have to change.
        detail: why, and how.
    """

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail


def answer_tokens(asked_tokens: int, prompt_tokens: int, context_tokens: int, *, may_shorten: bool) -> int:
    """Return the most tokens an answer may have.

    Args:
        asked_tokens: what its client, or the service's default, allows.
        prompt_tokens: of its whole prompt.
        context_tokens: what prompt and answer share.
        may_shorten: whether the room left is good enough (`service.messages.rows.Row`).

    Raises:
        NoRoomError: the prompt leaves none, or less than was asked for.
    """
    room = context_tokens - prompt_tokens
    if room < 1:
        raise NoRoomError(
            "question", f"its prompt of {prompt_tokens} tokens fills the context of {context_tokens} tokens"
        )
    tokens = min(asked_tokens, room) if may_shorten else asked_tokens
    if not 0 < tokens <= room:
        raise NoRoomError(
            "settings.max_tokens",
            f"{asked_tokens} and a prompt of {prompt_tokens} tokens exceed the context of {context_tokens} tokens; "
            "lower it, or shorten the question",
        )
    return tokens


def check_length(fewest_tokens: int, context_tokens: int) -> None:
    """Check a prompt by the tokens that it takes at least, before anybody counts them: counting takes time and memory.

    Raises:
        NoRoomError: it cannot fit.
    """
    if fewest_tokens >= context_tokens:
        raise NoRoomError(
            "question",
            f"its prompt of {fewest_tokens} tokens or more fills the context of {context_tokens} tokens; shorten it",
        )


def check_choices_fit(choice_tokens: int, prompt_tokens: int, context_tokens: int) -> None:
    """Check that the tokens of all choices fit behind their prompt, each beginning that some share counted once.

    Raises:
        NoRoomError: they do not.
    """
    if prompt_tokens + choice_tokens > context_tokens:
        raise NoRoomError(
            "choices",
            f"their {choice_tokens} tokens and a prompt of {prompt_tokens} tokens exceed the context of "
            f"{context_tokens} tokens; send fewer or shorter ones, or shorten the question",
        )
