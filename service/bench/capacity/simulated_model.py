"""Stand-in for a model: the engine drives it like a `ModelRunner`, and it moves a clock in place of computing.

Owns which images are in the feature cache and in the slots, by the rules of `model.runtime`. Knows no requests. Pure
but for the clock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from cachetools import LRUCache

from model.pixels.tiles import ImageKey, TiledImage
from model.request import CacheChanges, FolderCounts, NewRow, TileSpan, TokenLogprob
from service.bench.capacity.costs import MachineModel

_UNTOLD = TokenLogprob(0.0)
_TOKEN = 1


class VirtualClock:
    """A clock that stands still until somebody moves it."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now_s


@dataclass(frozen=True, slots=True)
class SimulatedConfig:
    """The part of a model's configuration that the engine asks for."""

    tiles: int
    image_tokens: int = 0


class SimulatedText:
    """The text of an answer of which only the length counts."""

    stopped = False
    shown_tokens = 0

    def push(self, _: int) -> str:
        """Take a token, which has no text here."""
        return ""

    def finish(self) -> str:
        """Return the rest of the text: none."""
        return ""


class SimulatedTokenizer:
    """The tokenizer of prompts of which no one is too long."""

    def fewest_tokens(self, _: str) -> int:
        """Return how many tokens a prompt takes at least."""
        return 1


class SimulatedModel:
    """A model without tensors: every call takes the time that it was measured to take, on a clock of its own.

    Args:
        machine: whose costs and sizes.
        clock: moved by each call.
        cached: images in the feature cache; the machine's worker begins with these.
    """

    context_tokens = 1 << 30
    eos_id = -1
    outside_answer = None
    cache_bytes = 0
    tokenizer = SimulatedTokenizer()

    def __init__(self, machine: MachineModel, clock: VirtualClock, cached: LRUCache[ImageKey, bool]) -> None:
        self.config = SimulatedConfig(machine.tiles)
        self.slots = machine.slots
        self._costs = machine.costs
        self._clock = clock
        self._cached = cached
        self._open: dict[ImageKey, int] = {}
        self._encoded: dict[ImageKey, int] = {}
        self._in_slots: OrderedDict[ImageKey, int] = OrderedDict()  # rows of each; longest ago first
        self._held: dict[int, ImageKey] = {}
        self._added: list[ImageKey] = []

    def prompt(self, _: str) -> tuple[int, ...]:
        """Return the tokens of a prompt, whose number is part of what a row costs."""
        return (_TOKEN,)

    def text_stream(self, _: Sequence[str]) -> SimulatedText:
        """Return the text of an answer."""
        return SimulatedText()

    def open_image(self, image: TiledImage) -> int:
        """Count one more row that needs an image, and return how many of its tiles need not be encoded for it."""
        key = image.image_key
        known = key in self._open or self._cached.get(key, False)
        self._open[key] = self._open.get(key, 0) + 1
        tiles = self.config.tiles if known else 0
        self._encoded.setdefault(key, tiles)
        return tiles

    def close_image(self, image_key: ImageKey) -> None:
        """Count one row less that needs it."""
        self._open[image_key] -= 1
        if not self._open[image_key]:
            del self._open[image_key], self._encoded[image_key]

    def encoded_tiles(self, image_key: ImageKey) -> int:
        """Return the number of its tiles that are encoded."""
        return self._encoded[image_key]

    def encode(self, spans: Sequence[TileSpan]) -> None:
        """Take the time of encoding tiles."""
        self._clock.now_s += self._costs.encode_s(sum(span.stop - span.start for span in spans))
        for span in spans:
            self._encoded[span.image_key] = span.stop
            if span.stop == self.config.tiles and self._cached.maxsize:
                self._cached[span.image_key] = True
                self._added.append(span.image_key)

    def prefill(self, rows: Sequence[NewRow]) -> list[int]:
        """Take the time of reading prompts; an image that no slot holds costs more."""
        new = 0
        for row in rows:
            new += self._occupy(row.slot, row.image_key)
        self._clock.now_s += self._costs.prefill_s(len(rows), new)
        return [_TOKEN] * len(rows)

    def _occupy(self, slot: int, image_key: ImageKey) -> bool:
        """Give a slot to a row, and return whether its image is new to the slots, as `model.network.slots` does."""
        new = image_key not in self._in_slots
        if new and len(self._in_slots) >= self.slots:
            del self._in_slots[next(key for key, rows in self._in_slots.items() if not rows)]
        self._in_slots[image_key] = self._in_slots.pop(image_key, 0) + 1
        self._held[slot] = image_key
        return new

    def decode(self, slots: Sequence[int]) -> list[int]:
        """Take the time of one more token for each row."""
        self._clock.now_s += self._costs.decode_s(len(slots))
        return [_TOKEN] * len(slots)

    def logprob(self, _: int) -> TokenLogprob:
        """Return the log-probability of a token, of which nobody asks."""
        return _UNTOLD

    def release(self, slot: int, *, failed: bool = False) -> None:
        """Free a slot; its image stays until its place is needed."""
        del failed
        self._in_slots[self._held.pop(slot)] -= 1

    def take_cache_changes(self) -> CacheChanges:
        """Return the images whose features came since the last call.

        Those that went are left out, and `SimulatedWorker` looks for itself.
        """
        added, self._added = tuple(self._added), []
        return CacheChanges(added=added)

    def take_folder_counts(self) -> FolderCounts:
        """Return the counts of a feature folder, of which there is none."""
        return FolderCounts()
