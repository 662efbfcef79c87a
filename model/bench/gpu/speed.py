"""Speed of one geometry: decode steps in every variant, encoding, prefill, and TTFT (first token) of a cached image.

Random weights are made where they are used. Every figure stands beside the least time the measured rates allow; the
naive twin computes on the same tensors where it is asked at all. One thread.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch

from model import complexity
from model.bench.gpu.item import Data, Item, PartInput
from model.bench.gpu.rows import COMMON_TOKENS, PROMPT_TOKENS
from model.bench.gpu.timed_model import REPEATS, TimedModel, spread, timed
from model.bench.gpu.variants import EAGER, VARIANTS, DecodeVariant
from model.bench.machine import peak_bytes, reset_peak
from model.bench.roofline.floors import Pass, decoder_weights, floor
from model.bench.sides import NaiveRow, encode_naively
from model.runtime.hardware import resolve_device

ROWS = (1, 2, 4, 8, 16, 32, 64)
EAGER_ROWS = (1, 8, 32, 64)
IMAGES = (1, 8, 16)
PREFILL_ROWS = (1, 8, 32)
NAIVE_ROWS = (1, 8)
WARM_STEPS, STEPS, SAMPLE_S = 3, 24, 0.4


def items(given: PartInput) -> Iterator[Item]:
    """List the timings of the first model that was given, the most important first."""
    bench = _Bench(given)
    yield Item("load", bench.load, 90.0)
    fast, absorbed, eager, eager_absorbed = VARIANTS
    yield from (bench.decode(fast, rows) for rows in bench.counts(ROWS))
    yield from (bench.decode(absorbed, rows) for rows in bench.counts(ROWS))
    yield from (Item(f"encode {images}", partial(bench.encode, absorbed, images)) for images in bench.counts(IMAGES))
    yield from (bench.decode(eager, rows) for rows in bench.counts(EAGER_ROWS))
    for variant in (eager, absorbed):
        for rows in bench.counts(PREFILL_ROWS):
            yield Item(f"prefill {variant.attention} {rows}", partial(bench.prefill, variant, rows))
        name = f"first token of a cached image {variant.attention}"
        yield Item(name, partial(bench.first_token, variant))
    yield from (Item(f"naive decode {rows}", partial(bench.naive_decode, rows)) for rows in bench.counts(NAIVE_ROWS))
    yield Item("naive encode 1", bench.naive_encode)
    yield from (bench.decode(eager_absorbed, rows) for rows in bench.counts(EAGER_ROWS))


class _Bench:
    """Benchmark of one geometry, loaded by the first item."""

    def __init__(self, given: PartInput) -> None:
        self._rehearsal = resolve_device(given.device).type != "cuda"
        self._model = TimedModel(given, most_rows=max(self.counts(ROWS)))

    def counts(self, planned: Sequence[int]) -> Sequence[int]:
        """Return the planned numbers of rows; a CPU that only rehearses is spared the larger ones."""
        return [count for count in planned if count <= 8] if self._rehearsal else planned

    def load(self) -> Data:
        """Make the weights; the naive twin shares them."""
        start = time.perf_counter()
        twin = self._model.twin
        loaded_s = time.perf_counter() - start
        return {
            "model": self._model.config.name,
            "dtype": self._model.precision.name,
            "seconds": loaded_s,
            "parameters": sum(tensor.numel() for tensor in twin.checkpoint.tensors.values()),
            "decoder_bytes": self._model.costs.weight_bytes * decoder_weights(self._model.config, project=False),
        }

    def decode(self, variant: DecodeVariant, rows: int) -> Item:
        """Time decoding one more token for each of so many rows, each about an image of its own."""
        return Item(f"decode {variant.name} {rows}", partial(self._decode, variant, rows), 90.0)

    def _decode(self, variant: DecodeVariant, rows: int) -> Data:
        running = self._model.rows(variant)
        images = [running.image(number) for number in range(rows)]
        running.fill(images, [running.prompt(number) for number in range(rows)])
        try:
            for _ in range(WARM_STEPS):
                running.step()
            reset_peak(self._model.device)
            steps_s = timed(running.step, STEPS, SAMPLE_S)
        finally:
            running.free()
        context = PROMPT_TOKENS + WARM_STEPS + 1 + len(steps_s) // 2
        at_least = floor([self._step(variant, context, rows)], self._model.ceilings)
        return {
            **spread(steps_s),
            "rows": rows,
            "graphs": variant.graphs,
            "attention": variant.attention,
            "context_tokens": context,
            "floor_s": at_least.seconds,
            "bound": at_least.bound,
            "share": at_least.seconds / statistics.median(steps_s),
            "tokens_per_s": rows / statistics.median(steps_s),
            "peak_bytes": peak_bytes(self._model.device),
        }

    def _step(self, variant: DecodeVariant, context: int, rows: int) -> Pass:
        """Return the costs of a step; absorbed, every block reads the features, and the weights that projected them."""
        whole = self._model.costs.decode([context] * rows, rows)
        if variant.attention == "projected":
            return whole
        config, dtype, blocks = self._model.config, self._model.costs.dtype, len(self._model.config.cross_layers)
        projection = decoder_weights(config, project=True) - decoder_weights(config, project=False)
        kept = rows * complexity.cross_attention_bytes(config, dtype)
        features = rows * blocks * complexity.feature_bytes(config, dtype)
        return Pass(whole.bytes - kept + features + self._model.costs.weight_bytes * projection, whole.flops)

    def encode(self, variant: DecodeVariant, images: int) -> Data:
        """Time encoding so many new images in one call, from host memory to the cache."""
        running = self._model.rows(variant)
        ready = [[running.image() for _ in range(images)] for _ in range(REPEATS + 1)]

        def once(batch: int) -> None:
            spans = running.open(ready[batch])
            running.runner.encode(spans)

        took_s = self._model.repeated(once)
        for batch in ready:
            running.close(batch)
        at_least = floor([self._model.costs.encode(images)], self._model.ceilings)
        return {
            **spread(took_s),
            "images": images,
            "graphs": variant.graphs,
            "floor_s": at_least.seconds,
            "bound": at_least.bound,
            "share": at_least.seconds / statistics.median(took_s),
            "images_per_s": images / statistics.median(took_s),
        }

    def prefill(self, variant: DecodeVariant, rows: int) -> Data:
        """Time the prefill of so many rows, each about an image of its own that is encoded and in no slot."""
        running = self._model.rows(variant)
        prompts = [running.prompt(number) for number in range(rows)]
        ready = [[running.image() for _ in range(rows)] for _ in range(REPEATS + 1)]
        for batch in ready:
            running.encode(batch)

        def once(batch: int) -> None:
            running.read(ready[batch], prompts)

        took_s = self._model.repeated(once, after=running.free)
        for batch in ready:
            running.close(batch)
        at_least = floor([self._model.costs.prefill([PROMPT_TOKENS] * rows, rows, COMMON_TOKENS)], self._model.ceilings)
        return {
            **spread(took_s),
            "rows": rows,
            "attention": variant.attention,
            "prompt_tokens": PROMPT_TOKENS,
            "floor_s": at_least.seconds,
            "share": at_least.seconds / statistics.median(took_s),
        }

    def first_token(self, variant: DecodeVariant) -> Data:
        """Time the first token of a row about an image whose features are cached, and which is in no slot."""
        running = self._model.rows(variant)
        images = [running.image() for _ in range(REPEATS + 1)]
        running.encode(images)
        running.close(images)
        prompt = running.prompt(0)

        def once(number: int) -> None:
            running.encode(images[number : number + 1])
            running.read(images[number : number + 1], [prompt])

        took_s = self._model.repeated(once, after=running.free)
        running.close(images)
        return {**spread(took_s), "attention": variant.attention, "prompt_tokens": PROMPT_TOKENS}

    @torch.inference_mode()
    def naive_decode(self, rows: int) -> Data:
        """Time the naive twin's step: one row after another."""
        twin, config = self._model.twin, self._model.config
        running = self._model.rows(EAGER)
        noise = torch.randn((config.image_tokens, config.vision.width), device=self._model.device)
        features = noise.to(self._model.precision.dtype)
        naive = [NaiveRow(twin.model, features) for _ in range(rows)]
        tokens = [row.read(running.prompt(number)) for number, row in enumerate(naive)]

        def once(_: int) -> None:
            for row, token in zip(naive, tokens, strict=True):
                row.repeat(token)

        return {**spread(self._model.repeated(once, repeats=3)), "rows": rows}

    @torch.inference_mode()
    def naive_encode(self) -> Data:
        """Time the naive twin's encoding of one image."""
        twin, side = self._model.twin, self._model.config.vision.tile_px
        tiles = np.random.default_rng(0).integers(256, size=(self._model.config.tiles, side, side, 3), dtype=np.uint8)
        return spread(self._model.repeated(lambda _: encode_naively(twin.model, tiles), repeats=3))
