"""ModelRunner: one loaded model with its slots and its feature cache, driven by whoever owns the loop.

Owns what lives on the device. It does what it is told, in the order it is told: which rows to admit and how many tiles
to encode is decided elsewhere. Knows no clock and no request ids. One thread at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch

from model.checkpoint.checkpoint import Checkpoint
from model.choices import ChoiceTree
from model.explain import Explanation, explain
from model.layout import tensor_shapes
from model.network.layers import Prepare, made_anew
from model.network.pheye import Pheye
from model.pixels.tiles import ImageKey, TiledImage
from model.prompt import render
from model.request import CacheChanges, ChosenChoice, FolderCounts, NewRow, TileSpan, TokenLogprob
from model.runtime.decode_steps import DecodeSteps
from model.runtime.device_memory import Result, with_room
from model.runtime.features.feature_cache import FeatureCache
from model.runtime.features.feature_folder import FeatureFolder
from model.runtime.features.open_images import OpenImages
from model.runtime.features.tile_encoder import TileEncoder
from model.runtime.hardware import Precision, device_uuid
from model.runtime.memory_plan import MemoryPart
from model.runtime.prefill import Prefill
from model.runtime.prompts import PromptReader, common_beginning
from model.runtime.running_rows import RunningRows
from model.runtime.token_decoder import TokenDecoder
from model.runtime.vision_steps import VisionSteps
from model.tokenizer import TextStream, TextTokenizer

DecodeForm = Literal["recorded", "fixed", "eager"]


_WARM_UP = ImageKey("warm-up")  # no image's hash
_FEW_TOKENS = 16  # of a prompt that is read as longer ones are


class ModelRunner:
    """Loaded model with its slots and its feature cache.

    Args:
        checkpoint: the model to run.
        device: device of all its tensors.
        precision: number format, and the reason for it.
        slots: how many rows can run at once.
        context_tokens: prompt and answer of a row together.
        feature_cache_bytes: bound of the feature cache.
        feature_folder: folder behind the feature cache that outlives the process; None for none.
        steps: how tiles are encoded and tokens decoded: `recorded` as CUDA graphs, in `fixed` shapes as graphs need
            them but not recorded, or in `eager` steps of whatever there is. By default recorded on a GPU, eager on a
            CPU.
        absorbed: whether image slots keep features, and not the keys and values projected from them.
        memory: what takes how much of the device, for people to read.
        lone_threads: for encoding while one row alone is worked on: 2 to take half an image each, where operations
            have one; 1 to stay at that.
        prepare: what may know large tensors in the form in which layers hold them; see `model.network.layers.Weights`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: torch.device,
        precision: Precision,
        *,
        slots: int = 8,
        context_tokens: int = 1024,
        feature_cache_bytes: int = 1 << 30,
        feature_folder: FeatureFolder | None = None,
        steps: DecodeForm | None = None,
        absorbed: bool = False,
        memory: Sequence[MemoryPart] = (),
        lone_threads: int = 1,
        prepare: Prepare = made_anew,
    ) -> None:
        self.config = checkpoint.config
        self.device = device
        self.precision = precision
        self.fingerprint = checkpoint.fingerprint
        self.about = checkpoint.about
        self.parameters = sum(map(math.prod, tensor_shapes(checkpoint.config, checkpoint.ranks).values()))
        self.feature_cache_bytes = feature_cache_bytes
        self.memory = tuple(memory)
        self.context_tokens = min(context_tokens, self.config.decoder.max_positions)
        self._tokenizer = checkpoint.tokenizer
        self._model = _network(checkpoint, device, precision, absorbed=absorbed, prepare=prepare)
        beginning = common_beginning(self.prompt, self.config.decoder.max_positions)
        self._slots = self._model.new_slots(slots, self.context_tokens, beginning)
        cache = FeatureCache(feature_cache_bytes)
        self._images = OpenImages(self.config, cache, self.fingerprint, device, precision.image_dtype, feature_folder)
        self._running = RunningRows()
        steps = steps or ("recorded" if device.type == "cuda" else "eager")
        fixed, record = steps != "eager", steps == "recorded"
        self._steps = DecodeSteps(self._model, self._slots, record=record) if fixed else None
        batches = VisionSteps(self._model, record=record) if fixed else None
        self._encoder = TileEncoder(self._model, batches, lone_threads)
        rows = self._model, self._slots, self._running
        self._decoder = TokenDecoder(*rows, self._steps, self._make_room)
        prompts = PromptReader(*rows, self._decoder.choose, self._make_room)
        self._prefill = Prefill(*rows, self._images, prompts, self._make_room)

    @property
    def slots(self) -> int:
        """Number of rows that can run at once."""
        return len(self._slots)

    @property
    def gpu_uuid(self) -> str | None:
        """UUID of the GPU, its name outside of torch; None for a CPU."""
        return device_uuid(self.device)

    @property
    def eos_id(self) -> int:
        """Token that ends an answer."""
        return self._tokenizer.eos_id

    @property
    def tokenizer(self) -> TextTokenizer:
        """Tokenizer of the model."""
        return self._tokenizer

    @property
    def cache_bytes(self) -> int:
        """Number of bytes that the feature cache holds."""
        return self._images.cache_bytes

    def use_cores(self, *, alone: bool) -> None:
        """Use the core of another worker too while one row alone is worked on, or none but our own."""
        self._encoder.use_cores(alone=alone)

    def prompt(self, instruction: str) -> tuple[int, ...]:
        """Return the token ids of the whole prompt around an instruction."""
        return tuple(self._tokenizer.encode(render(instruction)))

    @property
    def outside_answer(self) -> str | None:
        """Sentence with which the model answers about pictures outside its world; None if it has none."""
        return self.about.outside_answer if self.about else None

    def choice_tree(self, choices: Sequence[str], *, refusable: bool = False) -> ChoiceTree:
        """Return the tree of choices, as they are generated; `refusable`: with the sentence beside them, if any."""
        return ChoiceTree.written(choices, self._tokenizer, self.outside_answer if refusable else None)

    def text_stream(self, stop: Sequence[str]) -> TextStream:
        """Return an incremental decoder for one answer."""
        return self._tokenizer.stream(stop)

    def open_image(self, image: TiledImage) -> int:
        """Declare that one more waiting row needs an image; returns how many tiles need not be encoded for this row.

        Raises:
            ValueError: the tiles are not of this model's geometry.
        """
        return self._images.open(image)

    def close_image(self, image_key: ImageKey) -> None:
        """Declare that one waiting row less needs an image; without any, an unfinished encoding is dropped."""
        self._images.close(image_key)

    def keep_image(self, image_key: ImageKey) -> None:
        """Let the cache have an open image, though it was told to forget it."""
        self._images.keep(image_key)

    def encoded_tiles(self, image_key: ImageKey) -> int:
        """Return the number of tiles of an open image that are encoded."""
        return self._images[image_key].encoded

    def forget(self, image_key: ImageKey) -> None:
        """Drop all that is kept of an image, and keep the features that are being encoded out of the cache."""
        self._images.forget(image_key)
        self._slots.forget(image_key)

    def take_cache_changes(self) -> CacheChanges:
        """Return the images whose features have come or gone since the last call."""
        return self._images.take_changes()

    def take_folder_counts(self) -> FolderCounts:
        """Return what the feature folder found, missed and failed at since the last call."""
        return self._images.take_folder_counts()

    @torch.inference_mode()
    def encode(self, spans: Sequence[TileSpan]) -> None:
        """Encode tiles of several open images in one batch; a completed image goes into the cache.

        Raises:
            DeviceMemoryError: not all was encoded; the images are of no more use.
        """
        tiles = [self._images[span.image_key].tiles(span) for span in spans]
        indices = [index for span in spans for index in self._images[span.image_key].indices(span)]
        features = self._with_room(lambda: self._encoder.encode(tiles, indices))
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # the caller measures what tiles cost, and plans by it
        self._with_room(lambda: self._add(spans, features))

    def _add(self, spans: Sequence[TileSpan], features: torch.Tensor) -> None:
        done = 0
        for span in spans:
            count = span.stop - span.start
            self._images.add(span, features[done : done + count])
            done += count

    @torch.inference_mode()
    def prefill(self, rows: Sequence[NewRow]) -> list[int | None]:
        """Prefill rows into slots, and return the first new token of each, None for a failed row.

        A row with choices has its whole answer then, which `choice` tells, and decodes no further.

        Raises:
            DeviceMemoryError: none of the rows holds its slot.
        """
        return self._prefill.admit(rows)

    @torch.inference_mode()
    def decode(self, slots: Sequence[int]) -> list[int | None]:
        """Decode one more token for each of these rows, None for a failed row.

        Raises:
            DeviceMemoryError: the rows still hold their slots, but are of no more use.
        """
        return self._decoder.decode(slots)

    def rewind(self, slots: Sequence[int]) -> None:
        """Take the newest token of each row out of the KV cache, so that the next step does the same work again.

        On a CPU alone: a GPU keeps the lengths of rows, too.
        """
        for slot in slots:
            self._slots.lengths[slot] -= 1

    def logprob(self, slot: int) -> TokenLogprob:
        """Return the log-probability of a row's newest token."""
        told = self._running[slot].logprob
        assert told is not None  # a row that holds a slot was prefilled
        return told

    def choice(self, slot: int) -> ChosenChoice | None:
        """Return which of its choices a row takes; None for a row without choices, and for a failed one."""
        return self._running[slot].choice

    def explain(self, slot: int, pieces: Sequence[str]) -> Explanation:
        """Explain an answer that was prefilled with `explain`; `pieces` is the text of each of its tokens."""
        attention = self._running[slot].attention or []
        return explain(torch.stack(attention).numpy(), pieces, self.config)

    def release(self, slot: int, *, failed: bool = False) -> None:
        """Give a row's slot back; `failed`: what it holds may be no numbers, and is cleared."""
        self._running.remove(slot)
        self._slots.release(slot, failed=failed)

    @torch.inference_mode()
    def warm_up(self) -> None:
        """Run every kind of step once, so that the first request does not pay for lazy initialisation."""
        self._model.admit_image(self._slots, _WARM_UP, self._encoder.warm_up())
        tokens = self.context_tokens - 1 if self._steps is not None else _FEW_TOKENS
        prompt = self.prompt("")[:tokens]
        self._slots.occupy(0, _WARM_UP, len(prompt))
        self._model.prefill(self._slots, [0], [prompt])
        self._model.decode(self._slots, [0], [0])
        self._slots.release(0)
        self._slots.forget(_WARM_UP)
        if self._steps is not None:
            self._steps.warm_up()

    def prepare_compiled(self, *, wait: bool = False) -> None:
        """Get compiled code ready in the background, where this model gains by it; until then torch computes.

        Args:
            wait: until it is ready, or known that it will not be; the first time takes a minute or more.
        """
        self._model.prepare_compiled(wait=wait)

    def _with_room(self, work: Callable[[], Result]) -> Result:
        """Run work that may be repeated; at the expense of the feature cache if memory runs out."""
        return with_room(work, self._make_room)

    def _make_room(self) -> None:
        self._images.clear_cache()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _network(
    checkpoint: Checkpoint, device: torch.device, precision: Precision, *, absorbed: bool, prepare: Prepare
) -> Pheye:
    return Pheye(
        checkpoint.tensors,
        checkpoint.config,
        device,
        precision.dtype,
        bits=precision.bits,
        image_dtype=precision.image_dtype,
        absorbed=absorbed,
        prepare=prepare,
    )
