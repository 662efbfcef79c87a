"""Costs of one machine: what its steps take, fitted to what a server counted under several loads. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LoadCounts:
    """Sums over one load, as the server and the load test counted them.

    Attributes:
        answers: rows that were prefilled, one a request.
        new_images: of them, those about an image that no slot of the model held.
        tokens: generated.
        clients: of the closed loop; 0 for an open one.
        outside_s: mean of a request's latency, less what the engine worked for it.
        encode_s, encode_steps, tiles: of the vision encoder.
        prefill_s, prefill_steps: of reading prompts.
        decode_s, decode_steps, decode_rows: of decode steps.
        other_s, steps: planning and bookkeeping, of all steps.
    """

    answers: float
    new_images: float
    tokens: float
    clients: int
    outside_s: float
    encode_s: float
    encode_steps: float
    tiles: float
    prefill_s: float
    prefill_steps: float
    decode_s: float
    decode_steps: float
    decode_rows: float
    other_s: float
    steps: float


@dataclass(frozen=True, slots=True)
class StepCosts:
    """Seconds of the parts of a step: a constant for each phase, and what each unit adds.

    Attributes:
        encode_step_s, tile_s: of the vision encoder.
        prefill_step_s, prompt_s, new_image_s: of prefill; the last for an image that has no slot yet.
        decode_step_s, decode_row_s: of a decode step.
        other_s: planning and bookkeeping of each step.
        api_s: of a request outside of the engine: HTTP, decoding, both pipes.
    """

    encode_step_s: float
    tile_s: float
    prefill_step_s: float
    prompt_s: float
    new_image_s: float
    decode_step_s: float
    decode_row_s: float
    other_s: float
    api_s: float

    def encode_s(self, tiles: int) -> float:
        """Return the seconds of encoding so many tiles in one step."""
        return self.encode_step_s + self.tile_s * tiles

    def prefill_s(self, rows: int, new_images: int) -> float:
        """Return the seconds of prefilling so many rows in one step."""
        return self.prefill_step_s + self.prompt_s * rows + self.new_image_s * new_images

    def decode_s(self, rows: int) -> float:
        """Return the seconds of one token for so many rows."""
        return self.decode_step_s + self.decode_row_s * rows


@dataclass(frozen=True, slots=True)
class MachineModel:
    """Description of one machine: what the simulation has to know of it.

    Attributes:
        costs: of its steps.
        tiles: of an image.
        slots: of each worker.
        stall_s: the settings' bound on how long a step holds up decoding rows.
        max_waiting: answers that may wait, of the whole machine.
        decoders: images decoded at the same time.
        cached_images: for which a worker's feature cache has room.
        workers: engines on it, each on a device of its own.
    """

    costs: StepCosts
    tiles: int
    slots: int = 8
    stall_s: float = 0.25
    max_waiting: int = 64
    decoders: int = 2
    cached_images: int = 1000
    workers: int = 1

    def engine_s(self, tokens: int, *, hit: bool) -> float:
        """Return the seconds of a worker that an answer takes at least: in full batches, one image encoded alone."""
        costs = self.costs
        encode_s = 0.0 if hit else costs.encode_s(self.tiles) + costs.new_image_s
        steps_s = (tokens - 1) * (costs.decode_s(self.slots) + costs.other_s) / self.slots
        return encode_s + costs.prompt_s + steps_s

    @classmethod
    def parsed(cls, values: dict[str, Any]) -> MachineModel:
        """Build it from JSON, as `dataclasses.asdict` made it.

        Raises:
            TypeError: a field is missing or unknown.
            ValueError: one is no number of its kind.
        """
        costs = StepCosts(**values["costs"])
        machine = cls(**values | {"costs": costs})
        _check_numbers(asdict(machine) | asdict(costs))
        return machine


COUNTS = ("workers", "slots", "tiles", "decoders")


def _check_numbers(values: dict[str, Any]) -> None:
    """Check that counts are 1 or more, and all else is a finite number of 0 or more."""
    for name, value in values.items():
        kinds, least = ((int,), 1) if name in COUNTS else ((int, float), 0)
        if name != "costs" and (type(value) not in kinds or not least <= value < math.inf):
            raise ValueError(f"{name} is {value!r}, not a number of {least} or more")


def fit_costs(loads: Sequence[LoadCounts]) -> StepCosts:
    """Fit the costs of steps to the sums of several loads, each of which counts the same.

    Raises:
        ValueError: no load had a single client, or none encoded anything.
    """
    alone = [load for load in loads if load.clients == 1]
    if not alone or not any(load.tiles for load in loads):
        raise ValueError("costs need a load of one client, and one with new images")
    encode = _fitted([(load.encode_s, load.encode_steps, load.tiles) for load in loads])
    prefill = _fitted([(load.prefill_s, load.prefill_steps, load.answers, load.new_images) for load in loads])
    decode = _fitted([(load.decode_s, load.decode_steps, load.decode_rows) for load in loads])
    other = _fitted([(load.other_s, load.steps) for load in loads])
    api_s = float(np.median([load.outside_s for load in alone]))
    return StepCosts(*[*encode, *prefill, *decode, *other, api_s])


def _fitted(equations: Sequence[tuple[float, ...]]) -> list[float]:
    """Solve seconds = sum of unit costs x units by least squares of relative errors; no cost is negative."""
    table: NDArray[np.float64] = np.array([each for each in equations if each[0] > 0.0], dtype=np.float64)
    units = len(equations[0]) - 1
    costs, used = [0.0] * units, list(range(units))
    if not len(table):
        return costs
    scaled = table[:, 1:] / table[:, :1]
    while used:
        found = np.linalg.lstsq(scaled[:, used], np.ones(len(table)), rcond=None)[0]
        if (found >= 0.0).all():
            for place, value in zip(used, found, strict=True):
                costs[place] = float(value)
            break
        used.pop(int(found.argmin()))
    return costs
