"""Batches of a training step: which samples, in which order, prepared in worker processes.

A step's samples are a function of the recipe's seed and the step's number, whatever the number of processes, workers
or passes, so that a resumed run reads what the killed one would have read. Knows no model. `Loader` is used by the
training process's main thread; `_Preparation` runs in the loader's worker processes.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from model.config import PheyeConfig
from model.data.samples import ENDLESS, Source
from model.pixels.tiles import Tiles, cut
from model.tokenizer import TextTokenizer
from model.training.recipe import Recipe
from model.training.rows import NOTHING, PADDING, RowError, TokenRow, row_of

REHEARSED_EVERY = 4  # one sample in so many is of the rehearsal
SIGNAL_S = 1.0  # by which a signal that ended a worker has reached the main process too
_PAD_TO = 16  # lengths are rounded up to it, so that compiled code and allocators meet few shapes


class TrainingBatch(NamedTuple):
    """Batch of one forward pass: a named tuple, because the loader and DDP move its tensors by their kind.

    Attributes:
        tiles: uint8 [B, N, S, S, 3].
        ids: tokens, padded on the right [B, T].
        positions: of each token in its own turn [B, T].
        turns: which turn each token belongs to; see `model/training/rows.py` [B, T].
        labels: what must follow each token, or `NOTHING` [B, T].
    """

    tiles: Tensor
    ids: Tensor
    positions: Tensor
    turns: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> TrainingBatch:
        """Return the batch on another device."""
        return TrainingBatch(*(tensor.to(device, non_blocking=True) for tensor in self))

    @property
    def output_tokens(self) -> int:
        """Number of tokens that have a label; the loss is a sum over them."""
        return int((self.labels != NOTHING).sum())


@dataclass(frozen=True, slots=True)
class Draw:
    """Sample of one step: where it stands in the run, its number in its source, and whether that is the rehearsal."""

    position: int
    index: int
    rehearsed: bool = False


@dataclass(frozen=True, slots=True)
class _Prepared:
    tiles: Tiles
    row: TokenRow


class _Preparation(Dataset[_Prepared]):
    """Preparation of samples into tiles and rows."""

    def __init__(
        self, sources: tuple[Source, Source | None], config: PheyeConfig, tokenizer: TextTokenizer, recipe: Recipe
    ) -> None:
        self._source, self._rehearsal = sources
        self._config, self._tokenizer, self._recipe = config, tokenizer, recipe

    def __getitem__(self, draw: Draw) -> _Prepared:
        source = self._rehearsal if draw.rehearsed and self._rehearsal is not None else self._source
        sample = source[draw.index]
        chance = np.random.default_rng([self._recipe.seed, 1, draw.position])
        count = min(self._recipe.turns_per_image, len(sample.turns))
        chosen = sorted(chance.choice(len(sample.turns), size=count, replace=False).tolist())
        turns = [sample.turns[place] for place in chosen]
        try:
            row = row_of(turns, self._tokenizer, self._config.decoder.max_positions)
        except RowError as error:
            raise RowError(f"sample {draw.index}: {error}") from None
        return _Prepared(cut(sample.image.convert("RGB"), self._config.vision.tile_px, self._config.level), row)


def _leave_signals_to_the_main_process(_: int) -> None:
    """Leave the process group, all of which Ctrl-C and torchrun's SIGTERM reach; the main process ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.setpgid(0, 0)


def is_lost_worker(error: RuntimeError) -> bool:
    """Return whether torch says that a worker has died; a SIGTERM that reaches every process ends them first."""
    return str(error).startswith("DataLoader worker")


def collate(prepared: list[_Prepared]) -> TrainingBatch:
    """Pad rows of different lengths into a batch."""
    rows = [each.row for each in prepared]
    length = -(-max(len(row.ids) for row in rows) // _PAD_TO) * _PAD_TO
    return TrainingBatch(
        torch.from_numpy(np.stack([each.tiles for each in prepared])),
        _padded([row.ids for row in rows], length, 0),
        _padded([row.positions for row in rows], length, 0),
        _padded([row.turns for row in rows], length, PADDING),
        _padded([row.labels for row in rows], length, NOTHING),
    )


def _padded(rows: list[tuple[int, ...]], length: int, filling: int) -> Tensor:
    return torch.tensor([[*row, *[filling] * (length - len(row))] for row in rows])


class _BatchSampler(Sampler[list[Draw]]):
    """Batch sampler of the loader: the draws of each forward pass from a step on."""

    def __init__(self, loader: Loader, first: int, steps: int) -> None:
        self._loader, self._first, self._steps = loader, first, steps

    def __iter__(self) -> Iterator[list[Draw]]:
        for step in range(self._first, self._steps):
            yield from self._loader.draws(step)


class Loader:
    """Loader of one process's share of every step.

    Args:
        source: the samples.
        config: how they are cut into tiles.
        tokenizer: how they are turned into tokens.
        recipe: how many belong to a step.
        workers: processes that prepare batches ahead; 0 prepares them here.
        process: which process this is.
        processes: how many share a step.
        rehearsal: what one sample in `REHEARSED_EVERY` is taken from, so that it is not forgotten; None for nothing.
    """

    def __init__(
        self,
        source: Source,
        config: PheyeConfig,
        tokenizer: TextTokenizer,
        recipe: Recipe,
        workers: int = 0,
        process: int = 0,
        processes: int = 1,
        rehearsal: Source | None = None,
    ) -> None:
        if recipe.batch % processes:
            raise ValueError(f"a batch of {recipe.batch} cannot be shared equally by {processes} processes")
        self._preparation = _Preparation((source, rehearsal), config, tokenizer, recipe)
        self._rehearses = rehearsal is not None
        self._length, self._recipe, self._workers = len(source), recipe, workers
        self._process, self._processes = process, processes
        self._epoch, self._permutation = -1, np.empty(0, dtype=np.int64)

    def draws(self, step: int) -> list[list[Draw]]:
        """Return this process's samples of a step, one list for each forward pass."""
        share = self._recipe.batch // self._processes
        first = step * self._recipe.batch + self._process * share
        draws = [self._draw(position) for position in range(first, first + share)]
        size = min(self._recipe.micro_batch, share)
        return [draws[start : start + size] for start in range(0, share, size)]

    def steps(self, first: int, end: int) -> Iterator[list[TrainingBatch]]:
        """Load the forward passes of each step from `first` up to `end`."""
        batches = self.passes(first, end)
        for step in range(first, end):
            yield [next(batches) for _ in self.draws(step)]

    def passes(self, first: int, end: int) -> Iterator[TrainingBatch]:
        """Load the forward passes of some steps one by one."""
        loader = DataLoader(
            self._preparation,
            batch_sampler=_BatchSampler(self, first, end),
            num_workers=self._workers,
            collate_fn=collate,
            prefetch_factor=4 if self._workers else None,
            worker_init_fn=_leave_signals_to_the_main_process,
            pin_memory=torch.cuda.is_available(),  # or a copy to the GPU would wait for the one before
        )
        yield from loader

    def _draw(self, position: int) -> Draw:
        if not self._rehearses:
            return Draw(position, self._index(position))
        turn, place = divmod(position, REHEARSED_EVERY)
        if place == REHEARSED_EVERY - 1:
            return Draw(position, turn, rehearsed=True)
        return Draw(position, self._index(turn * (REHEARSED_EVERY - 1) + place))

    def _index(self, position: int) -> int:
        """Return a sample's number: a source with an end is shuffled anew every epoch, one without is read in order."""
        if self._length >= ENDLESS:
            return position
        epoch, place = divmod(position, self._length)
        if epoch != self._epoch:
            self._permutation = np.random.default_rng([self._recipe.seed, 0, epoch]).permutation(self._length)
            self._epoch = epoch
        return int(self._permutation[place])
