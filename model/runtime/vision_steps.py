"""Vision batches of fixed sizes: recorded once as CUDA graphs, replayed over other tiles.

An image is five or ten tiles, and launching the kernels of both towers one by one takes Python longer than a GPU takes
to run them. So batches of whole images, and of few tiles for what is cut short, are recorded while the model warms up,
over tensors that never move. Any tiles are encoded as a series of such batches, without padding. The two towers of a
batch run side by side on two streams. On a CPU the same batches run without being recorded, which is how they are
tested.

Owns those tensors and the graphs; knows neither requests nor images. Called by the engine's thread only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from model.config import PheyeConfig
from model.network.pheye import Pheye
from model.pixels.tiles import Tiles

MOST_TILES = 80  # of one batch: it bounds the memory that graphs share
_FEW_LOCAL_TILES = (4, 2, 1)


@dataclass(frozen=True, slots=True)
class VisionBatch:
    """Number of global views and of local tiles that are encoded together.

    Attributes:
        views: global views, first in the batch.
        local: local tiles behind them.
    """

    views: int
    local: int

    @property
    def tiles(self) -> int:
        """Number of all tiles in the batch."""
        return self.views + self.local


def batches_of(config: PheyeConfig) -> list[VisionBatch]:
    """Return the batches that are recorded, the largest first: 1, 2, 4, ... whole images, and parts of one."""
    local = config.level**2
    images = [1 << power for power in range(MOST_TILES.bit_length()) if (1 << power) * config.tiles <= MOST_TILES]
    whole = [VisionBatch(count, count * local) for count in reversed(images)]
    parts = [VisionBatch(0, count) for count in sorted({local, *_FEW_LOCAL_TILES}, reverse=True)]
    return [*whole, *parts, VisionBatch(1, 0)]


def series(views: int, local: int, batches: Sequence[VisionBatch]) -> list[VisionBatch]:
    """Return the batches, largest first, that so many tiles are encoded as.

    >>> known = [VisionBatch(2, 18), VisionBatch(0, 1), VisionBatch(1, 0)]
    >>> [(batch.views, batch.local) for batch in series(3, 20, known)]
    [(2, 18), (0, 1), (0, 1), (1, 0)]
    """
    chosen = []
    for batch in batches:
        while views >= batch.views and local >= batch.local:
            chosen.append(batch)
            views, local = views - batch.views, local - batch.local
    return chosen


class _Inputs:
    """Tiles and their places on the device, where graphs read them, and on the host, from where they are uploaded."""

    def __init__(self, config: PheyeConfig, device: torch.device) -> None:
        side = config.vision.tile_px
        pinned = device.type == "cuda"
        sizes = ((MOST_TILES, side, side, 3), torch.uint8), ((MOST_TILES,), torch.int64)
        self.tiles, self.places = (torch.zeros(size, dtype=dtype, device=device) for size, dtype in sizes)
        self._staged = [torch.zeros(size, dtype=dtype, pin_memory=pinned) for size, dtype in sizes]
        self._tiles, self._places = (staged.numpy() for staged in self._staged)
        self._uploaded = torch.cuda.Event() if pinned else None  # type: ignore[no-untyped-call]

    def fill(self, tiles: Sequence[Tiles], places: Sequence[int]) -> None:
        """Upload the tiles at these places; the device may still be busy with what was uploaded before."""
        if self._uploaded is not None:
            self._uploaded.synchronize()  # or the last upload would read what is written here
        for number, place in enumerate(places):
            self._tiles[number] = tiles[place]
        count = len(places)
        self._places[:count] = places
        self.tiles[:count].copy_(self._staged[0][:count], non_blocking=True)
        self.places.copy_(self._staged[1], non_blocking=True)
        if self._uploaded is not None:
            self._uploaded.record(torch.cuda.current_stream(self.tiles.device))


class VisionSteps:
    """Vision encoder of one model, in batches of fixed sizes.

    Args:
        model: the fast path.
        record: whether batches are recorded as CUDA graphs; otherwise they run as they are written.
    """

    def __init__(self, model: Pheye, *, record: bool) -> None:
        config, device = model.config, model.device
        self._encoder = model.vision
        self._record = record
        self._batches = batches_of(config)
        self._inputs = _Inputs(config, device)
        self._features = torch.zeros(
            (MOST_TILES, config.vision.tokens_per_tile, config.vision.width), dtype=model.dtype, device=device
        )
        # One stream for each tower while batches are warmed up and recorded.
        streams = range(2 if device.type == "cuda" else 0)
        self._streams = [torch.cuda.Stream(device) for _ in streams]  # type: ignore[no-untyped-call]
        self._graphs: dict[VisionBatch, torch.cuda.CUDAGraph] = {}
        self._pool: Any = None  # of memory, which graphs share since only one runs at a time

    def encode(self, tiles: Sequence[Tiles], indices: Sequence[int]) -> Tensor:
        """Encode tiles of any images to features, in any order.

        Args:
            tiles: uint8 [S, S, 3] each.
            indices: index of each tile in its image; 0 is the global view.

        Returns:
            Features [n, tokens per tile, D_vit].
        """
        views = [place for place, index in enumerate(indices) if index == 0]
        local = [place for place, index in enumerate(indices) if index > 0]
        features = self._features.new_empty(len(indices), *self._features.shape[1:])
        for batch in series(len(views), len(local), self._batches):
            places = views[: batch.views] + local[: batch.local]
            views, local = views[batch.views :], local[batch.local :]
            self._inputs.fill(tiles, places)
            self._run(batch)
            features.index_copy_(0, self._inputs.places[: batch.tiles], self._features[: batch.tiles])
        return features

    def warm_up(self) -> None:
        """Record every batch, the largest first, so that the smaller ones find its memory."""
        if self._record:
            for batch in self._batches:
                self._recorded(batch)

    def _run(self, batch: VisionBatch) -> None:
        if self._record:
            self._recorded(batch).replay()
        else:
            self._step(batch)

    def _recorded(self, batch: VisionBatch) -> torch.cuda.CUDAGraph:
        """Return the graph of a batch; recorded over whatever the inputs hold, since each replay writes anew."""
        if batch not in self._graphs:
            self._graphs[batch] = self._record_graph(batch)
        return self._graphs[batch]

    def _record_graph(self, batch: VisionBatch) -> torch.cuda.CUDAGraph:
        stream, outer = self._streams[0], torch.cuda.current_stream(self._inputs.tiles.device)
        stream.wait_stream(outer)
        with torch.cuda.stream(stream):
            self._step(batch)  # not recorded: kernels are compiled, workspaces allocated
        outer.wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=stream):
            self._step(batch)
        self._pool = self._pool or graph.pool()
        return graph

    def _step(self, batch: VisionBatch) -> None:
        """Encode a batch from the inputs into the features, both towers at once."""
        if not self._streams or not batch.views or not batch.local:
            self._encode_views(batch)
            self._encode_local(batch)
            return
        # The towers share only tensors that never move; temporary tensors belong to the stream of their tower.
        main, side = torch.cuda.current_stream(self._inputs.tiles.device), self._streams[1]
        side.wait_stream(main)
        with torch.cuda.stream(side):
            self._encode_views(batch)
        self._encode_local(batch)
        main.wait_stream(side)

    def _encode_views(self, batch: VisionBatch) -> None:
        if batch.views:
            part = slice(0, batch.views)
            self._features[part].copy_(self._encoder.encode_global(self._inputs.tiles[part]))

    def _encode_local(self, batch: VisionBatch) -> None:
        if batch.local:
            part = slice(batch.views, batch.tiles)
            self._features[part].copy_(self._encoder.encode_local(self._inputs.tiles[part]))
