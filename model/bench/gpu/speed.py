"""Speed of one geometry: decode steps in every variant, encoding, prefill, and TTFT (first token) of a cached image.

Random weights are made where they are used. Every figure stands beside the least time the measured rates allow; the
naive twin computes on the same tensors where it is asked at all. One thread.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch

from model import complexity
from model.bench.ceilings import Ceilings
from model.bench.floors import Pass, PassCosts, decoder_weights, floor
from model.bench.gpu.card import rates
from model.bench.gpu.item import Data, Item, PartInput
from model.bench.gpu.rows import COMMON_TOKENS, PROMPT_TOKENS, Rows
from model.bench.gpu.variants import EAGER, VARIANTS, DecodeVariant, new_runner
from model.bench.halves import Twin, load_twin
from model.bench.machine import peak_bytes, reset_peak
from model.bench.sides import NaiveRow, encode_naively
from model.checkpoint.checkpoint import open_checkpoint
from model.runtime.hardware import choose_precision, resolve_device

ROWS = (1, 2, 4, 8, 16, 32, 64)
EAGER_ROWS = (1, 8, 32, 64)
IMAGES = (1, 8, 16)
PREFILL_ROWS = (1, 8, 32)
NAIVE_ROWS = (1, 8)
CONTEXT_TOKENS = 192
WARM_STEPS, STEPS, SAMPLE_S = 3, 24, 0.4
REPEATS = 5


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
    """Benchmark of one geometry, loaded by the first item; one runner at a time, since each has slots of gigabytes."""

    def __init__(self, given: PartInput) -> None:
        self._given = given
        self._device = resolve_device(given.device)
        self._source = given.models[0]
        self._checkpoint = open_checkpoint(self._source, device=self._device)
        self._config = self._checkpoint.config
        self._precision = choose_precision("auto", self._device, self._config)
        self._costs = PassCosts(self._config, self._precision.name)
        self._twin: Twin | None = None
        self._rows: tuple[DecodeVariant, Rows] | None = None
        self._rates: Ceilings | None = None

    def counts(self, planned: Sequence[int]) -> Sequence[int]:
        """Return the planned numbers of rows; a CPU that only rehearses is spared the larger ones."""
        return planned if self._device.type == "cuda" else [count for count in planned if count <= 8]

    def load(self) -> Data:
        """Make the weights; the naive twin shares them."""
        start = time.perf_counter()
        twin = self._loaded
        loaded_s = time.perf_counter() - start
        return {
            "model": self._config.name,
            "dtype": self._precision.name,
            "seconds": loaded_s,
            "parameters": sum(tensor.numel() for tensor in twin.checkpoint.tensors.values()),
            "decoder_bytes": self._costs.weight_bytes * decoder_weights(self._config, project=False),
        }

    @property
    def _loaded(self) -> Twin:
        if self._twin is None:
            self._twin = load_twin(self._checkpoint, self._device, self._precision.dtype)
        return self._twin

    @property
    def _ceilings(self) -> Ceilings:
        """Peak rates that were given, or else measured now."""
        if self._rates is None:
            known = dict(
                (self._given.rates or {}).get(self._precision.name) or rates(self._given, self._precision.name)
            )
            told = known["bytes_per_s"], known["flops_per_s"]
            self._rates = Ceilings(self._config.name, self._precision.name, *told, probes={})
        return self._rates

    def _runner(self, variant: DecodeVariant) -> Rows:
        """Return rows of this variant; another variant's are dropped first."""
        if self._rows is None or self._rows[0] != variant:
            self._rows = None
            gc.collect()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            most = max(self.counts(ROWS))
            sizes = {"slots": most, "context_tokens": CONTEXT_TOKENS, "feature_cache_bytes": 4 << 30}
            checkpoint, precision = self._loaded.checkpoint, self._precision
            self._rows = variant, Rows(new_runner(checkpoint, self._device, precision.dtype, variant, **sizes))
        return self._rows[1]

    def decode(self, variant: DecodeVariant, rows: int) -> Item:
        """Time decoding one more token for each of so many rows, each about an image of its own."""
        return Item(f"decode {variant.name} {rows}", partial(self._decode, variant, rows), 90.0)

    def _decode(self, variant: DecodeVariant, rows: int) -> Data:
        crowd = self._runner(variant)
        images = [crowd.image(number) for number in range(rows)]
        crowd.fill(images, [crowd.prompt(number) for number in range(rows)])
        try:
            for _ in range(WARM_STEPS):
                crowd.step()
            reset_peak(self._device)
            steps_s = _timed(crowd.step, STEPS, SAMPLE_S)
        finally:
            crowd.free()
        context = PROMPT_TOKENS + WARM_STEPS + 1 + len(steps_s) // 2
        at_least = floor([self._step(variant, context, rows)], self._ceilings)
        return {
            **_spread(steps_s),
            "rows": rows,
            "graphs": variant.graphs,
            "attention": variant.attention,
            "context_tokens": context,
            "floor_s": at_least.seconds,
            "bound": at_least.bound,
            "share": at_least.seconds / statistics.median(steps_s),
            "tokens_per_s": rows / statistics.median(steps_s),
            "peak_bytes": peak_bytes(self._device),
        }

    def _step(self, variant: DecodeVariant, context: int, rows: int) -> Pass:
        """Return the costs of a step; absorbed, every block reads the features, and the weights that projected them."""
        whole = self._costs.decode([context] * rows, rows)
        if variant.attention == "projected":
            return whole
        config, dtype, blocks = self._config, self._costs.dtype, len(self._config.cross_layers)
        projection = decoder_weights(config, project=True) - decoder_weights(config, project=False)
        kept = rows * complexity.cross_attention_bytes(config, dtype)
        features = rows * blocks * complexity.feature_bytes(config, dtype)
        return Pass(whole.bytes - kept + features + self._costs.weight_bytes * projection, whole.flops)

    def encode(self, variant: DecodeVariant, images: int) -> Data:
        """Time encoding so many new images in one call, from host memory to the cache."""
        crowd = self._runner(variant)
        ready = [[crowd.image() for _ in range(images)] for _ in range(REPEATS + 1)]

        def once(batch: int) -> None:
            spans = crowd.open(ready[batch])
            crowd.runner.encode(spans)

        took_s = self._repeated(once)
        for batch in ready:
            crowd.close(batch)
        at_least = floor([self._costs.encode(images)], self._ceilings)
        return {
            **_spread(took_s),
            "images": images,
            "graphs": variant.graphs,
            "floor_s": at_least.seconds,
            "bound": at_least.bound,
            "share": at_least.seconds / statistics.median(took_s),
            "images_per_s": images / statistics.median(took_s),
        }

    def prefill(self, variant: DecodeVariant, rows: int) -> Data:
        """Time the prefill of so many rows, each about an image of its own that is encoded and in no slot."""
        crowd = self._runner(variant)
        prompts = [crowd.prompt(number) for number in range(rows)]
        ready = [[crowd.image() for _ in range(rows)] for _ in range(REPEATS + 1)]
        for batch in ready:
            crowd.encode(batch)

        def once(batch: int) -> None:
            crowd.read(ready[batch], prompts)

        took_s = self._repeated(once, after=crowd.free)
        for batch in ready:
            crowd.close(batch)
        at_least = floor([self._costs.prefill([PROMPT_TOKENS] * rows, rows, COMMON_TOKENS)], self._ceilings)
        return {
            **_spread(took_s),
            "rows": rows,
            "attention": variant.attention,
            "prompt_tokens": PROMPT_TOKENS,
            "floor_s": at_least.seconds,
            "share": at_least.seconds / statistics.median(took_s),
        }

    def first_token(self, variant: DecodeVariant) -> Data:
        """Time the first token of a row about an image whose features are cached, and which is in no slot."""
        crowd = self._runner(variant)
        images = [crowd.image() for _ in range(REPEATS + 1)]
        crowd.encode(images)
        crowd.close(images)
        prompt = crowd.prompt(0)

        def once(number: int) -> None:
            crowd.encode(images[number : number + 1])
            crowd.read(images[number : number + 1], [prompt])

        took_s = self._repeated(once, after=crowd.free)
        crowd.close(images)
        return {**_spread(took_s), "attention": variant.attention, "prompt_tokens": PROMPT_TOKENS}

    @torch.inference_mode()
    def naive_decode(self, rows: int) -> Data:
        """Time the naive twin's step: one row after another."""
        twin, config = self._loaded, self._config
        crowd = self._runner(EAGER)
        noise = torch.randn((config.image_tokens, config.vision.width), device=self._device).to(self._precision.dtype)
        naive = [NaiveRow(twin.model, noise) for _ in range(rows)]
        tokens = [row.read(crowd.prompt(number)) for number, row in enumerate(naive)]

        def once(_: int) -> None:
            for row, token in zip(naive, tokens, strict=True):
                row.repeat(token)

        return {**_spread(self._repeated(once, repeats=3)), "rows": rows}

    @torch.inference_mode()
    def naive_encode(self) -> Data:
        """Time the naive twin's encoding of one image."""
        twin, side = self._loaded, self._config.vision.tile_px
        tiles = np.random.default_rng(0).integers(256, size=(self._config.tiles, side, side, 3), dtype=np.uint8)
        return _spread(self._repeated(lambda _: encode_naively(twin.model, tiles), repeats=3))

    def _repeated(
        self, once: Callable[[int], object], repeats: int = REPEATS, after: Callable[[], None] = lambda: None
    ) -> list[float]:
        """Return the seconds of each turn; the first turn is not counted."""
        took_s = []
        for turn in range(repeats + 1):
            self._settle()
            start = time.perf_counter()
            once(turn)
            self._settle()
            took_s.append(time.perf_counter() - start)
            after()
        return took_s[1:]

    def _settle(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def _timed(once: Callable[[], object], calls: int, least_s: float) -> list[float]:
    """Return the seconds of each call that ends with its tokens on the host; fewer calls if they are slow."""
    took_s: list[float] = []
    while len(took_s) < calls and (len(took_s) < 5 or sum(took_s) < least_s):
        start = time.perf_counter()
        once()
        took_s.append(time.perf_counter() - start)
    return took_s


def _spread(took_s: Sequence[float]) -> dict[str, float]:
    return {"seconds": statistics.median(took_s), "best_s": min(took_s), "worst_s": max(took_s)}
