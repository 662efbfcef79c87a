"""The state of the engine: each accepted row, and the step that is being made.

Plain state; `service/worker/engine.py` and `service/worker/committer.py` alone change it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from model.choices import ChoiceTree
from model.pixels.tiles import ImageKey, TiledImage
from model.request import NewRow
from service.messages.from_worker import RowEvent, RowTimings, StepReport, Usage
from service.messages.rows import Flow, Row
from service.phases import Phase, PhaseName, Timeline

if TYPE_CHECKING:
    from model.config import PheyeConfig
    from model.tokenizer import TextStream


@dataclass(slots=True)
class EngineRow:
    """The engine's state of one accepted row.

    Attributes:
        row: what is asked.
        image: what it asks about.
        prompt: token ids of its whole prompt.
        max_tokens: of its answer, after shortening.
        stream: its text, so far.
        arrived_s: when it came.
        pieces: the text each token completed; one for each token generated so far, those given to its client before a
            restart included.
        tokens: those of its answer so far; as many as pieces.
        choices: the tree of its choices; None if it may say anything.
        cached_tiles: tiles of its image that did not have to be encoded for it.
        queued_since_s: since when it waits, the first time or because it was preempted.
        slot_tokens: tokens it had when it got its slot.
        timeline: its phases, if it is traced.
    """

    row: Row
    image: TiledImage
    prompt: tuple[int, ...]
    max_tokens: int
    stream: TextStream
    arrived_s: float
    pieces: list[str]
    choices: ChoiceTree | None = None
    tokens: list[int] = field(init=False)
    cached_tiles: int = 0
    opened: bool = False
    queued_since_s: float = field(init=False)
    slot_tokens: int = 0
    queued_s: float = 0.0
    encode_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0
    timeline: Timeline | None = field(init=False)

    def __post_init__(self) -> None:
        """Begin behind the tokens that its client has."""
        self.tokens = list(self.row.given)
        self.queued_since_s = self.arrived_s
        self.timeline = Timeline(self.arrived_s) if self.row.traced else None

    @property
    def id(self) -> str:
        """The id of the row."""
        return self.row.id

    @property
    def flow(self) -> Flow:
        """Whom the row counts for."""
        return self.row.flow

    @property
    def resumed(self) -> bool:
        """True once it has left a slot: its prompt was counted then."""
        return len(self.tokens) > len(self.row.given)

    @property
    def image_key(self) -> ImageKey:
        """The key of the image that the row asks about."""
        return self.image.image_key

    def in_slot(self, slot: int) -> NewRow:
        """Describe the row for the model, when it gets a slot."""
        row = self.row
        return NewRow(
            slot,
            self.image_key,
            self.prompt,
            tuple(self.tokens),
            row.sampling,
            row.explain,
            self.choices,
            row.top_logprobs,
        )

    def admit(self, now_s: float, prefill_s: float) -> float:
        """Note that it got a slot, after so long in prefill, and return for how long it had waited."""
        waited_s = now_s - self.queued_since_s
        self.queued_s += waited_s
        self.prefill_s += prefill_s
        self.slot_tokens = len(self.tokens)
        self.note("prefill", now_s, now_s + prefill_s)
        return waited_s

    def note(self, phase: PhaseName, start_s: float, end_s: float) -> None:
        """Note what was done for it from when to when, if it is traced."""
        if self.timeline is not None:
            self.timeline.add(phase, start_s, end_s)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases so far of a traced row."""
        return tuple(self.timeline.phases) if self.timeline else ()

    def usage(self, config: PheyeConfig) -> Usage:
        """Count the tokens and tiles of the row, for a model of this geometry."""
        return Usage(
            prompt_tokens=len(self.prompt),
            completion_tokens=len(self.pieces),
            image_tokens=config.image_tokens,
            image_tiles=config.tiles,
            image_tiles_cached=self.cached_tiles,
        )

    def timings(self) -> RowTimings:
        """Return the time that the row spent in each phase."""
        queue_s = max(0.0, self.queued_s - self.encode_s)
        return RowTimings(queue_s, self.encode_s, self.prefill_s, self.decode_s)


@dataclass(slots=True)
class Step:
    """The events and the report of a step while it is made; each phase adds its numbers."""

    events: list[RowEvent] = field(default_factory=list)
    report: StepReport = field(default_factory=StepReport)
