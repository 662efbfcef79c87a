"""Equality checks: an answer must not depend on batch, CUDA graph replay, attention form or device.

In float32 the tokens must be the same; in bfloat16 other batches round otherwise, and `twin` bounds what that does.
One thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from model.bench.gpu.checks.subjects import MICRO, SUBJECTS, TINY, subject
from model.bench.gpu.checks.verdict import same, within
from model.bench.gpu.item import Data, Item, PartInput
from model.bench.gpu.rows import Rows
from model.bench.gpu.variants import EAGER, VARIANTS, DecodeVariant, new_runner
from model.pixels.tiles import TiledImage
from model.request import NewRow, Sampling
from model.runtime.hardware import resolve_device

CPU = torch.device("cpu")
CROWD, TOKENS, IMAGES = 8, 12, 3
WIDE = 64
EXPLAIN_BOUND = 1e-4
Answer = list[int | None]


def items(given: PartInput) -> Iterator[Item]:
    """List checks of batches first, then of one decode form against another, then of this device against a CPU."""
    device = resolve_device(given.device)
    names, fp32 = (SUBJECTS if device.type == "cuda" else SUBJECTS[:1]), torch.float32
    for name in names:
        for variant in VARIANTS:
            words = f"crowd = alone {name} {variant.name}"
            yield Item(words, partial(crowd_is_alone, name, device, variant), 60.0)
    for name in names:
        for variant in VARIANTS:
            if variant != EAGER:
                words = f"{variant.name} = {EAGER.name} {name}"
                yield Item(words, partial(ways_agree, name, device, fp32, variant), 60.0)
    for variant in VARIANTS:
        yield Item(f"{WIDE} rows = alone {variant.name}", partial(wide_is_alone, device, variant), 60.0)
        yield Item(f"sampled rows = CPU's {variant.name}", partial(sampled_as_cpu, device, variant), 60.0)
    tiny = TINY if device.type == "cuda" else MICRO
    yield Item("device = CPU", partial(device_is_cpu, tiny, device), 90.0)
    yield Item("explanations = CPU's", partial(explained_as_cpu, tiny, device), 90.0)


def crowd_is_alone(name: str, device: torch.device, variant: DecodeVariant) -> Data:
    """Check eight rows about three images that start one step apart, two of which leave early, against each alone."""
    runner = new_runner(subject(name, device), device, torch.float32, variant, slots=CROWD, context_tokens=256)
    rows = Rows(runner)
    images = [rows.image(row % IMAGES) for row in range(CROWD)]
    prompts = [rows.prompt(row)[: 65 - row] for row in range(CROWD)]
    alone = [rows.answers([image], [prompt], TOKENS)[0] for image, prompt in zip(images, prompts, strict=True)]
    batched = _staggered(rows, [rows.new(row, images[row], prompts[row]) for row in range(CROWD)], images)
    return same(batched, [answer[: len(found)] for answer, found in zip(alone, batched, strict=True)])


def _staggered(rows: Rows, new: Sequence[NewRow], images: Sequence[TiledImage]) -> list[Answer]:
    """Decode rows that begin one step apart; the second and the fifth leave after four tokens."""
    runner, running, answers = rows.runner, list[int](), [Answer() for _ in new]
    for image in rows.distinct(images):
        rows.encode([image])
    waiting = list(new)
    while waiting or running:
        if waiting:
            row = waiting.pop(0)
            answers[row.slot] += runner.prefill([row])
            running.append(row.slot)
        for slot, token in zip(running, runner.decode(running), strict=True):
            answers[slot].append(token)
        for slot in [slot for slot in running if len(answers[slot]) >= (4 if slot in (1, 4) else TOKENS)]:
            runner.release(slot)
            running.remove(slot)
    for image in rows.distinct(images):
        rows.close([image])
    return answers


def ways_agree(name: str, device: torch.device, dtype: torch.dtype, variant: DecodeVariant) -> Data:
    """Check that eager decoding over projected keys and values gives the same tokens as another form."""
    return same(*(_answers(name, device, dtype, way) for way in (variant, EAGER)))


def _answers(name: str, device: torch.device, dtype: torch.dtype, variant: DecodeVariant) -> list[Answer]:
    rows = Rows(new_runner(subject(name, device), device, dtype, variant, slots=CROWD, context_tokens=256))
    images = [rows.image(row % IMAGES) for row in range(CROWD - 1)]  # an odd number: a bucket has a row to spare
    return rows.answers(images, [rows.prompt(row) for row in range(CROWD - 1)], TOKENS)


def wide_is_alone(device: torch.device, variant: DecodeVariant) -> Data:
    """Check as many rows as a busy service has, each about its own image, against each of them alone."""
    runner = new_runner(subject(MICRO, device), device, torch.float32, variant, slots=WIDE, context_tokens=256)
    rows = Rows(runner)
    images, prompts = [rows.image(row) for row in range(WIDE)], [rows.prompt(row) for row in range(WIDE)]
    batched = rows.answers(images, prompts, TOKENS)
    some = range(0, WIDE, 9)
    alone = [rows.answers([images[row]], [prompts[row]], TOKENS)[0] for row in some]
    return same([batched[row] for row in some], alone)


def sampled_as_cpu(device: torch.device, variant: DecodeVariant) -> Data:
    """Check that sampled rows with seeds of their own get the same tokens here and eagerly on a CPU."""
    return same(_sampled(device, variant), _sampled(CPU, EAGER))


def _sampled(device: torch.device, variant: DecodeVariant) -> list[Answer]:
    runner = new_runner(subject(MICRO, CPU), device, torch.float32, variant, slots=CROWD, context_tokens=256)
    rows = Rows(runner)
    images = [rows.image(row % IMAGES) for row in range(CROWD)]
    rows.encode(rows.distinct(images))
    new = [
        rows.new(row, images[row], rows.prompt(row), Sampling(temperature=0.5 + row / 8, top_p=1 - row / 16, seed=row))
        for row in range(CROWD)
    ]
    steps = [runner.prefill(new)]
    steps += [runner.decode(range(CROWD)) for _ in range(TOKENS - 1)]
    rows.close(rows.distinct(images))
    return [list(row) for row in zip(*steps, strict=True)]


def device_is_cpu(name: str, device: torch.device) -> Data:
    """Check that the embedded model answers the same here and on a CPU."""
    return same(*(_answers(name, where, torch.float32, EAGER) for where in (device, CPU)))


def explained_as_cpu(name: str, device: torch.device) -> Data:
    """Check that the attention of explained answers is the same here and on a CPU."""
    here, there = (_attention(name, where) for where in (device, CPU))
    return within(float(np.abs(here - there).max()), EXPLAIN_BOUND)


def _attention(name: str, device: torch.device) -> NDArray[np.float32]:
    """Return shares of the layers and heat map of one short answer, side by side."""
    runner = new_runner(subject(name, CPU), device, torch.float32, EAGER, slots=1, context_tokens=256)
    rows = Rows(runner)
    image = rows.image(0)
    rows.encode([image])
    new = NewRow(0, image.image_key, rows.prompt(0), (), Sampling(), explain=True)
    runner.prefill([new])
    for _ in range(3):
        runner.decode([0])
    rows.close([image])
    told = runner.explain(0, ["a"] * 4)
    shares = np.array([layer.global_share for layer in told.layers], dtype=np.float32)
    return np.concatenate([shares, told.heat_map.values.flatten().astype(np.float32)])
