"""Workloads of the benchmark: the same work for two sides, its least possible time, and a check that results agree.

A workload is built for some rows (or images), holds its inputs, and is dropped before the next is built. The baseline
is the naive twin, but for `questions`, where it is the fast path asked one question after another. One thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from model.bench.halves import Half
from model.bench.model_under_test import ModelUnderTest
from model.bench.roofline.floors import Pass
from model.bench.sides import NaiveRow, Tokens, encode_fast, encode_naively
from model.bench.timing import Call, Lap

CAPTION_TOKENS = 20
ANSWER_TOKENS = 8
WALKED_TOKENS = 2  # that both sides decode before one step of theirs is timed


@dataclass(frozen=True, slots=True)
class Milestone:
    """Moment of the work whose time is measured.

    Attributes:
        name: what is done by then.
        tokens: how many tokens there are by then, over all rows.
        passes: what had to be done for it.
    """

    name: str
    tokens: int
    passes: Sequence[Pass]


@dataclass(frozen=True, slots=True)
class Workload:
    """Pair of calls that do the same work for rows about `images` images; `agreement` compares their results."""

    images: int
    baseline: Call[Any]
    fast: Call[Any]
    marks: tuple[Milestone, ...]
    agreement: Callable[[Any, Any], float]


def encode(under_test: ModelUnderTest, images: int) -> Workload:
    """Encode some images: one after another, or in one call."""
    tiles = under_test.tiles(images)
    return Workload(
        images=images,
        baseline=lambda _: [encode_naively(under_test.twin.model, image) for image in tiles],
        fast=lambda _: [under_test.fast.placed(list(image)) for image in encode_fast(under_test.fast, tiles)],
        marks=(Milestone("encode", 0, [under_test.costs.encode(images)]),),
        agreement=features_alike,
    )


def prefill(under_test: ModelUnderTest, rows: int) -> Workload:
    """Prefill prompts about encoded images: one after another, or together."""
    prompts, images = under_test.prompts(rows), under_test.features(under_test.images(rows))
    slots, lengths, placed = under_test.slots(rows, 0), [len(prompt) for prompt in prompts], under_test.placed(images)

    def together(_: Lap) -> Tokens:
        first = slots.read(slots.unseen(images), prompts)
        slots.free()
        return first

    return Workload(
        images=len(images),
        baseline=lambda _: [
            NaiveRow(under_test.twin.model, placed[row % len(images)]).read(prompt)
            for row, prompt in enumerate(prompts)
        ],
        fast=together,
        marks=(Milestone("prefill", rows, [under_test.costs.prefill(lengths, len(images), under_test.common)]),),
        agreement=tokens_alike,
    )


def decode(under_test: ModelUnderTest, rows: int) -> Workload:
    """Decode one more token for each row: one row after another, or together.

    Before that both sides have walked some tokens that are given, since answers of random weights soon repeat
    themselves; what each side would have said at every one of them counts for the agreement.
    """
    prompts, images = under_test.prompts(rows), under_test.features(under_test.images(rows))
    slots, placed = under_test.slots(rows, WALKED_TOKENS + 1), under_test.placed(images)
    naive = [NaiveRow(under_test.twin.model, placed[row % len(images)]) for row in range(rows)]
    *walked, last = under_test.continuations(rows, WALKED_TOKENS + 1)
    said = [[row.read(prompt) for row, prompt in zip(naive, prompts, strict=True)]]
    said += [[row.read([token]) for row, token in zip(naive, tokens, strict=True)] for tokens in walked]
    heard = [slots.read(slots.unseen(images), prompts), *(slots.step(tokens) for tokens in walked)]
    contexts = [len(prompt) + WALKED_TOKENS + 1 for prompt in prompts]
    return Workload(
        images=len(images),
        baseline=lambda _: [*said, [row.repeat(token) for row, token in zip(naive, last, strict=True)]],
        fast=lambda _: [*heard, slots.repeat(last)],
        marks=(Milestone("decode", rows, [under_test.costs.decode(contexts, len(images))]),),
        agreement=tokens_alike,
    )


def caption(under_test: ModelUnderTest, rows: int) -> Workload:
    """Caption images: one after another, or all in one batch; of a single one the first token is timed, too."""
    tiles, prompts = under_test.tiles(rows), under_test.prompts(rows)
    slots, lengths = under_test.slots(rows, CAPTION_TOKENS), [len(prompt) for prompt in prompts]

    def in_turn(lap: Lap) -> list[Tokens]:
        told = lap if rows == 1 else _unmarked
        pairs = zip(tiles, prompts, strict=True)
        encoded = ((encode_naively(under_test.twin.model, image), prompt) for image, prompt in pairs)
        return [NaiveRow(under_test.twin.model, seen).answer(prompt, CAPTION_TOKENS, told) for seen, prompt in encoded]

    def together(lap: Lap) -> list[Tokens]:
        told = lap if rows == 1 else _unmarked
        return slots.answer(slots.unseen(encode_fast(under_test.fast, tiles)), prompts, CAPTION_TOKENS, told)

    passes = [under_test.costs.encode(rows), *under_test.costs.answers(lengths, rows, CAPTION_TOKENS)]
    first = (Milestone("caption_first_token", 1, passes[:2]),) if rows == 1 else ()
    return Workload(
        rows, in_turn, together, (*first, Milestone("caption", CAPTION_TOKENS * rows, passes)), tokens_alike
    )


def second(under_test: ModelUnderTest, _: int) -> Workload:
    """Answer again about an image that was asked about before: one side has kept nothing, the other its features."""
    (tiles,), (prompt,) = under_test.tiles(1), under_test.prompts(1)
    slots, known = under_test.slots(1, ANSWER_TOKENS), encode_fast(under_test.fast, [tiles])

    def anew(lap: Lap) -> list[Tokens]:
        row = NaiveRow(under_test.twin.model, encode_naively(under_test.twin.model, tiles))
        return [row.answer(prompt, ANSWER_TOKENS, lap)]

    def remembering(lap: Lap) -> list[Tokens]:
        return slots.answer(slots.unseen(known), [prompt], ANSWER_TOKENS, lap)

    passes = under_test.costs.answers([len(prompt)], 1, ANSWER_TOKENS)
    marks = (Milestone("second_first_token", 1, passes[:1]), Milestone("second", ANSWER_TOKENS, passes))
    return Workload(1, anew, remembering, marks, tokens_alike)


def questions(under_test: ModelUnderTest, rows: int) -> Workload:
    """Answer questions about one encoded image on the fast path: in requests one after another, or in one."""
    image, prompts = under_test.features(1), under_test.prompts(rows)
    alone, batched = under_test.slots(1, ANSWER_TOKENS), under_test.slots(rows, ANSWER_TOKENS)

    def in_turn(_: Lap) -> list[Tokens]:
        known = alone.unseen(image)  # by all questions but the first
        return [alone.answer(known, [prompt], ANSWER_TOKENS, _unmarked)[0] for prompt in prompts]

    def together(_: Lap) -> list[Tokens]:
        return batched.answer(batched.unseen(image), prompts, ANSWER_TOKENS, _unmarked)

    passes = under_test.costs.answers([len(prompt) for prompt in prompts], 1, ANSWER_TOKENS, under_test.common)
    return Workload(1, in_turn, together, (Milestone("questions", ANSWER_TOKENS * rows, passes),), tokens_alike)


def _unmarked() -> None:
    """Ignore a lap that is not measured."""


def tokens_alike(baseline: Sequence[Any], fast: Sequence[Any]) -> float:
    """Return the share of places with the same token, in lists of the same shape.

    >>> tokens_alike([[1, 2], [3, 4]], [[1, 2], [3, 5]])
    0.75
    """
    pairs = torch.tensor(baseline), torch.tensor(fast)
    return float((pairs[0] == pairs[1]).float().mean())


def features_alike(baseline: Sequence[Tensor], fast: Sequence[Tensor]) -> float:
    """Return the least cosine between both sides' features of an image token; features [V, D_vit] of each image."""
    ours, theirs = (torch.stack(list(side)).float() for side in (fast, baseline))
    return float(torch.cosine_similarity(ours, theirs, dim=-1).min())


@dataclass(frozen=True, slots=True)
class WorkloadKind:
    """Builder of a workload for a number of rows, and the halves of the model that it needs."""

    build: Callable[[ModelUnderTest, int], Workload]
    halves: frozenset[Half]


_BOTH: frozenset[Half] = frozenset({"vision", "decoder"})
KINDS: Mapping[str, WorkloadKind] = {
    "encode": WorkloadKind(encode, frozenset({"vision"})),
    "prefill": WorkloadKind(prefill, frozenset({"decoder"})),
    "decode": WorkloadKind(decode, frozenset({"decoder"})),
    "caption": WorkloadKind(caption, _BOTH),
    "second": WorkloadKind(second, _BOTH),
    "questions": WorkloadKind(questions, frozenset({"decoder"})),
}
