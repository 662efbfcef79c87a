"""What the engine remembers: of each accepted row, and of a step while it is being made.

Plain state; `service/worker/engine.py` is the only one that changes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from model.tiles import ImageKey, TiledImage
from service.messages import Row, RowEvent, RowTimings, StepReport

if TYPE_CHECKING:
    from model.tokenizer import TextStream


@dataclass(slots=True)
class EngineRow:
    """Everything about one accepted row.

    Attributes:
        request: as it came.
        image: what it asks about.
        prompt: token ids of its whole prompt.
        max_tokens: of its answer, after shortening.
        stream: its text, so far.
        arrived_s: when it came.
        pieces: the text each token completed; one for each token generated so far, those given to its client before a
            restart included.
        cached: no tile had to be encoded for it.
    """

    request: Row
    image: TiledImage
    prompt: tuple[int, ...]
    max_tokens: int
    stream: TextStream
    arrived_s: float
    pieces: list[str]
    cached: bool = False
    admitted_s: float = 0.0
    encode_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0

    @property
    def image_key(self) -> ImageKey:
        """Key of the image it asks about."""
        return self.image.image_key

    def timings(self) -> RowTimings:
        """Where its time went."""
        queue_s = max(0.0, self.admitted_s - self.arrived_s - self.encode_s)
        return RowTimings(queue_s, self.encode_s, self.prefill_s, self.decode_s)


@dataclass(slots=True)
class Step:
    """What one step has to say, while it is still being made."""

    events: list[RowEvent] = field(default_factory=list)
    encode_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    prefill_rows: int = 0
    decode_rows: int = 0
    encoded_tiles: int = 0

    def report(
        self, *, step_s: float, held_up: bool, hits: tuple[int, int], cache_bytes: int, slots: int
    ) -> StepReport:
        """The numbers.

        Args:
            step_s: how long it took.
            held_up: whether rows were decoding when it began, which the rest of it then held up.
            hits: images looked up in the cache, and found there.
            cache_bytes: what the cache holds.
            slots: slots in use now.
        """
        return StepReport(
            encode_s=self.encode_s,
            prefill_s=self.prefill_s,
            decode_s=self.decode_s,
            step_s=step_s,
            stall_s=self.encode_s + self.prefill_s if held_up else 0.0,
            encoded_tiles=self.encoded_tiles,
            prefill_rows=self.prefill_rows,
            prompt_tokens=self.prompt_tokens,
            decode_rows=self.decode_rows,
            generated_tokens=self.generated_tokens,
            cache_queries=hits[0],
            cache_hits=hits[1],
            cache_bytes=cache_bytes,
            slots_used=slots,
        )
