"""Messages between the API process and a worker: every one is a named dataclass.

Knows no transport. The API process sends `Submit`, `Prefetch`, `Forget`, `Cancel` and `Stop`; a worker answers with
`Ready` or `LoadFailed` once, then `StepDone` for each step of its engine (and `Started` before one that takes up new
rows), and `Heartbeat` while it has nothing to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from model.about import About
from model.config import PheyeConfig
from model.explain import Explanation
from model.request import CacheChanges, FinishReason, FolderCounts, Sampling, TokenLogprob, pickled_as_call
from model.tiles import ImageKey, TiledImage
from model.tokenizer import TextTokenizer
from service.client_policy import Priority
from service.phases import Phase

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


@pickled_as_call
@dataclass(frozen=True, slots=True)
class Submit:
    """Rows that ask about the same image. `ahead`: they go before all that wait."""

    image: TiledImage
    rows: tuple[Row, ...]
    ahead: bool = False


@dataclass(frozen=True, slots=True)
class Prefetch:
    """Encode an image when there is time, so that its features are ready when somebody asks about it."""

    image: TiledImage


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop the features of an image."""

    image_key: ImageKey


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel these rows, because nobody waits for them any more."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OthersIdle:
    """The word that no other worker on these cores has any row, or that one has again."""

    idle: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """End the worker; whatever is running is dropped."""


ToWorker = Submit | Prefetch | Forget | Cancel | OthersIdle | Stop


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A description of the loaded model, for the API process and for people at start-up.

    `memory` is a table of what takes how much of a GPU, line by line; `gpu_uuid` names the GPU outside of torch. A CPU
    has neither. `about` is what its checkpoint says of it in words, if anything.
    """

    name: str
    device: str
    dtype: str
    dtype_reason: str
    parameters: int
    config: PheyeConfig
    context_tokens: int
    slots: int
    weights_fingerprint: str
    feature_cache_bytes: int
    memory: tuple[str, ...] = ()
    gpu_uuid: str | None = None
    about: About | None = None

    @property
    def tile_px(self) -> int:
        """The side of a tile in pixels."""
        return self.config.vision.tile_px

    @property
    def level(self) -> int:
        """The local tiles along each side of an image."""
        return self.config.level

    @property
    def image_tiles(self) -> int:
        """The tiles of an image, the global view included."""
        return self.config.tiles

    @property
    def image_tokens(self) -> int:
        """The vision tokens of an image."""
        return self.config.image_tokens


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker is ready: weights are loaded and every kind of step has run once."""

    card: ModelCard
    tokenizer: TextTokenizer
    load_s: float


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """The model cannot be served, and trying again would not help."""

    reason: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A sign of life, sent about once a second by an engine that has nothing to do."""


@pickled_as_call
@dataclass(frozen=True, slots=True)
class Usage:
    """The cost of one row. `image_tiles_cached`: tiles that did not have to be encoded for it."""

    prompt_tokens: int
    completion_tokens: int
    image_tokens: int
    image_tiles: int
    image_tiles_cached: int

    @property
    def image_features_cached(self) -> bool:
        """True if no tile had to be encoded."""
        return self.image_tiles_cached == self.image_tiles


@pickled_as_call
@dataclass(frozen=True, slots=True)
class RowTimings:
    """The seconds a row spent in the worker, phase by phase, on the worker's clock."""

    queue_s: float
    encode_s: float
    prefill_s: float
    decode_s: float


@pickled_as_call
@dataclass(frozen=True, slots=True)
class Admitted:
    """The row has left the waiting queue and holds a slot; `resumed` if it had one before and was preempted."""

    id: str
    queue_s: float
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Preempted:
    """The row has given up its slot to another client's and waits again; it will go on behind its latest token."""

    id: str


@pickled_as_call
@dataclass(frozen=True, slots=True)
class Delta:
    """New tokens of a row, and the text they complete ('' while a character or a stop string is incomplete).

    Attributes:
        id: of the row.
        tokens: the new ones.
        text: what its client can be shown now.
        logprobs: what is told of each of the new tokens.
        shown_tokens: tokens, from the answer's first one on, whose text has been shown, or the beginning of it.
    """

    id: str
    tokens: tuple[int, ...]
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()
    shown_tokens: int = 0


@pickled_as_call
@dataclass(frozen=True, slots=True)
class Finished:
    """The row is complete and its slot is free. `text` is what a `Delta` before it had held back.

    `shown_tokens` is as in a `Delta`; `probabilities` are those of the row's choices, in their order. `outside`: the
    model says that the image is outside its known world, or would if it were not held to choices. `phases` are
    those of a traced row.
    """

    id: str
    text: str
    finish_reason: FinishReason
    usage: Usage
    timings: RowTimings
    explanation: Explanation | None = None
    shown_tokens: int = 0
    probabilities: tuple[float, ...] = ()
    outside: bool = False
    phases: tuple[Phase, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """The row cannot be run as asked (its prompt leaves no room, say); `field` names what to change."""

    id: str
    field: str
    detail: str


@dataclass(frozen=True, slots=True)
class Broken:
    """The row failed alone, on the server's side; the other rows of its step are well."""

    id: str
    detail: str


RowEvent = Admitted | Preempted | Delta | Finished | Refused | Broken


@pickled_as_call
@dataclass(frozen=True, slots=True)
class StepReport:
    """A step's report, for the metrics. Seconds are the phases' wall time, 0.0 where a phase was skipped."""

    encode_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0
    step_s: float = 0.0
    stall_s: float = 0.0  # time that rows already decoding waited for the encoding and prefilling of others
    encoded_tiles: int = 0
    prefill_rows: int = 0
    prompt_tokens: int = 0
    decode_rows: int = 0
    generated_tokens: int = 0
    cache_queries: int = 0
    cache_hits: int = 0
    cached_tiles: int = 0
    cache_bytes: int = 0
    slots_used: int = 0
    folder: FolderCounts = field(default_factory=FolderCounts)


@pickled_as_call
@dataclass(frozen=True, slots=True)
class StepDone:
    """The result of one step, in one message: row events in the order they happened, then the numbers."""

    events: tuple[RowEvent, ...] = ()
    report: StepReport = field(default_factory=StepReport)
    cache: CacheChanges = field(default_factory=CacheChanges)


@dataclass(frozen=True, slots=True)
class Started:
    """The step about to run touches these rows for the first time: should the worker die of one, it is among them."""

    ids: tuple[str, ...]


FromWorker = Ready | LoadFailed | Heartbeat | Started | StepDone
