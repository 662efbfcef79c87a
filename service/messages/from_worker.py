"""Messages of a worker: it is ready, or cannot be; then what came of each step of its engine, row by row.

`Ready` or `LoadFailed` comes once, then a `StepDone` for each step (and `Started` before one that takes up new rows),
and `Heartbeat` while the engine has nothing to do.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from model.about import About
from model.config import PheyeConfig
from model.explain import Explanation
from model.request import CacheChanges, FinishReason, FolderCounts, TokenLogprob, pickled_as_call
from model.tokenizer import TextTokenizer
from service.phases import Phase


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
    """The row has left the waiting queue and holds a slot; `resumed` if it had one before and was preempted.

    `queue_s` is the whole way there; for `encode_s` of it its image was encoded.
    """

    id: str
    queue_s: float
    resumed: bool = False
    encode_s: float = 0.0


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


@dataclass(frozen=True, slots=True)
class Preparing:
    """The worker takes up these rows, or opens their images, until its next message; none: that is over.

    Should it die meanwhile, it is of one of them.
    """

    ids: tuple[str, ...] = ()


FromWorker = Ready | LoadFailed | Heartbeat | Preparing | Started | StepDone
