"""Batches: the same samples for the same step, however it is divided; padding that nobody sees."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing import active_children

import pytest
import torch

from model.data.samples import ENDLESS, Sample, Source, Turn
from model.training.batches import Draw, Loader, TrainingBatch
from model.training.recipe import Recipe, Stage
from model.training.rows import NOTHING, PADDING, RowError
from tests.support.small_model import SMALL, Pictures, picture, small_checkpoint

RECIPE = Recipe("test", (Stage("I", 1e-3, steps=10),), batch=6, micro_batch=4, turns_per_image=2, seed=3)
TOKENIZER = small_checkpoint().tokenizer


@dataclass(frozen=True)
class Unending:
    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Sample:
        return Pictures()[index % 20]


@dataclass(frozen=True)
class Talkative:
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Sample:
        return Sample(picture(index), (Turn("Tell", "all " * 1000),))


def loader(recipe: Recipe = RECIPE, source: Source | None = None, **where: int) -> Loader:
    return Loader(source or Pictures(), SMALL, TOKENIZER, recipe, **where)


def drawn(loader: Loader, step: int) -> list[Draw]:
    return [draw for micro in loader.draws(step) for draw in micro]


def test_an_epoch_sees_every_sample_once_in_an_order_of_its_own() -> None:
    one = replace(RECIPE, batch=20)
    first, second = ([draw.index for draw in drawn(loader(one), step)] for step in (0, 1))
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second
    assert first != [draw.index for draw in drawn(loader(replace(one, seed=4)), 0)]


def test_an_endless_source_is_read_as_it_comes() -> None:
    assert [draw.index for draw in drawn(loader(source=Unending()), 2)] == list(range(12, 18))


def test_a_step_has_the_same_samples_whatever_its_passes_and_processes() -> None:
    whole = drawn(loader(), 5)
    assert [len(micro) for micro in loader().draws(5)] == [4, 2]
    for micro_batch, processes in ((1, 1), (6, 1), (2, 2), (6, 3)):
        recipe = replace(RECIPE, micro_batch=micro_batch)
        parts = [drawn(loader(recipe, process=each, processes=processes), 5) for each in range(processes)]
        assert [draw for part in parts for draw in part] == whole


def test_a_batch_that_processes_cannot_share_equally_is_refused() -> None:
    with pytest.raises(ValueError, match="a batch of 6 cannot be shared equally by 4 processes"):
        loader(processes=4)


def test_workers_prepare_the_batches_that_the_process_itself_would_prepare() -> None:
    here, there = (list(loader(workers=workers).steps(0, 2)) for workers in (0, 2))
    for ours, theirs in zip(here, there, strict=True):
        assert len(ours) == len(theirs) == 2
        assert all(
            torch.equal(*pair) for one, two in zip(ours, theirs, strict=True) for pair in zip(one, two, strict=True)
        )


def test_a_run_that_starts_later_reads_what_it_would_have_read() -> None:
    late, early = next(loader().steps(3, 4)), next(islice(loader().steps(0, 4), 3, None))
    assert all(torch.equal(*pair) for one, two in zip(late, early, strict=True) for pair in zip(one, two, strict=True))


def test_turns_of_an_image_differ_from_one_time_to_the_next() -> None:
    one = replace(RECIPE, batch=1, turns_per_image=1)
    seen = {tuple(micros[0].ids[0].tolist()) for micros in loader(one, Pictures(1)).steps(0, 12)}
    assert len(seen) == 3


def test_padding_belongs_to_no_turn_and_has_nothing_to_learn() -> None:
    (batch, _) = next(loader().steps(0, 1))
    padding = batch.turns == PADDING
    assert padding.any()
    assert (batch.labels[padding] == NOTHING).all()
    assert batch.ids.shape[1] % 16 == 0
    assert batch.output_tokens == int((batch.labels != NOTHING).sum())


def test_tiles_are_bytes_of_the_image() -> None:
    batch: TrainingBatch = next(loader().steps(0, 1))[0]
    assert batch.tiles.shape == (4, 5, 32, 32, 3)
    assert batch.tiles.dtype == torch.uint8


def test_a_signal_to_the_process_group_reaches_no_worker() -> None:
    before = {child.pid for child in active_children()}
    steps = loader(workers=2).steps(0, 3)
    next(steps)
    groups = [os.getpgid(child.pid) for child in active_children() if child.pid and child.pid not in before]
    assert len(groups) == 2
    assert os.getpgrp() not in groups
    assert len(list(steps)) == 2


@pytest.mark.parametrize("workers", [0, 1], ids=["here", "in a worker"])
def test_a_turn_too_long_for_the_model_is_refused_with_its_number(workers: int) -> None:
    with pytest.raises(RowError, match=r"sample \d: \d+ tokens of instruction and response; the model reads 128"):
        next(loader(source=Talkative(), workers=workers).steps(0, 1))
