"""Rows: answers to be generated, as both sides of the pipe know them, and the client that each of them counts for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from model.request import Sampling, pickled_as_call
from service.configuration.client_policy import Priority

NAMED = 8  # requests that a line of the log names


@pickled_as_call
@dataclass(frozen=True, slots=True)
class Flow:
    """A flow of fair queueing: the rows of one client with one priority, which share what is that client's due.

    Attributes:
        client: whom rows count for; an API key's digest, or an address.
        weight: its share in comparison with others.
        priority: `bulk` yields to `interactive`.
    """

    client: str = ""
    weight: float = 1.0
    priority: Priority = "interactive"


@pickled_as_call
@dataclass(frozen=True, slots=True)
class Row:
    """An answer to be generated: the question and its options, the same on both sides of the pipe.

    Attributes:
        id: unique; what is told of the row, and its cancellation, name it.
        instruction: what the model is told to do.
        sampling: how its tokens are chosen.
        given: tokens its client already has from a worker that died: generation continues behind them.
        may_shorten: its client named no `max_tokens`, so an answer that cannot fit is shortened and not refused.
        explain: tell where the model looked.
        choices: texts of which one is the answer, word for word, however it is sampled; any text if there are none.
        top_logprobs: how many alternatives are told of each token.
        flow: whom it counts for when slots are shared.
        origin: what log lines call the request that it belongs to.
        traced: its phases are told when it is finished.
    """

    id: str
    instruction: str
    sampling: Sampling
    given: tuple[int, ...] = ()
    may_shorten: bool = False
    explain: bool = False
    choices: tuple[str, ...] = ()
    top_logprobs: int = 0
    flow: Flow = field(default_factory=Flow)
    origin: str = ""
    traced: bool = False


def name_requests(origins: Iterable[str]) -> str:
    """Name the requests of rows for the log: how many, and the first of them.

    >>> name_requests(["a", "b trace=0af7", "a"])
    '2 requests (a, b trace=0af7)'
    """
    rows = list(origins)
    names = list(dict.fromkeys(filter(None, rows)))
    if not names:  # the commands without a server do not name theirs
        return f"{len(rows)} requests"
    return f"{len(names)} requests ({', '.join(names[:NAMED])}{', ...' if len(names) > NAMED else ''})"
