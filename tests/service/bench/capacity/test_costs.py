"""Costs are found again in the sums of loads that they made, and what no load shows is no cost."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import pytest

from service.bench.capacity.costs import LoadCounts, MachineModel, StepCosts, fit_costs

COSTS = StepCosts(0.02, 0.005, 0.004, 0.007, 0.015, 0.005, 0.0015, 0.0003, 0.03)
LOADS = (
    (1, 24, 0, 1.0),
    (1, 20, 20, 1.0),
    (12, 96, 0, 8.0),
    (12, 48, 48, 8.0),
)  # clients, answers, images, rows a step
TILES, TOKENS = 10, 16


def counts(clients: int, answers: int, new_images: int, batch: float) -> LoadCounts:
    """What a server whose steps cost `COSTS` counts of a load."""
    rows = answers * (TOKENS - 1)
    prefills, steps, tiles = answers / batch, rows / batch, TILES * new_images
    encode_s = COSTS.encode_step_s * new_images + COSTS.tile_s * tiles
    prefill_s = COSTS.prefill_step_s * prefills + COSTS.prompt_s * answers + COSTS.new_image_s * new_images
    decode_s = COSTS.decode_step_s * steps + COSTS.decode_row_s * rows
    return LoadCounts(
        answers=answers, new_images=new_images, tokens=answers * TOKENS, clients=clients,
        outside_s=COSTS.api_s if clients == 1 else 0.4, encode_s=encode_s, encode_steps=new_images, tiles=tiles,
        prefill_s=prefill_s, prefill_steps=prefills, decode_s=decode_s, decode_steps=steps, decode_rows=rows,
        other_s=COSTS.other_s * steps, steps=steps,
    )  # fmt: skip


def test_costs_are_found_again_in_the_sums_that_they_made() -> None:
    found = fit_costs([counts(*load) for load in LOADS])
    # Images were encoded one a step, so a step and ten tiles show as one cost.
    assert found.encode_s(TILES) == pytest.approx(COSTS.encode_s(TILES))
    for name, value in asdict(COSTS).items():
        if name not in ("encode_step_s", "tile_s"):
            assert getattr(found, name) == pytest.approx(value), name


def test_no_cost_is_negative_when_larger_batches_seem_free() -> None:
    alone, crowd = counts(1, 24, 24, 1.0), counts(12, 96, 0, 8.0)
    odd = LoadCounts(**asdict(crowd) | {"decode_s": 0.5 * crowd.decode_steps * COSTS.decode_s(1)})
    found = fit_costs([alone, odd])
    assert min(asdict(found).values()) >= 0.0
    assert found.decode_s(1) > 0.0


@pytest.mark.parametrize("loads", [LOADS[2:], LOADS[:1]], ids=["no single client", "no new image"])
def test_loads_that_do_not_show_a_cost_are_refused(loads: tuple[tuple[int, int, int, float], ...]) -> None:
    with pytest.raises(ValueError, match="costs need a load of one client, and one with new images"):
        fit_costs([counts(*load) for load in loads])


def test_an_answer_costs_its_image_only_once() -> None:
    machine = MachineModel(COSTS, tiles=TILES)
    assert machine.engine_s(TOKENS, hit=False) - machine.engine_s(TOKENS, hit=True) == pytest.approx(
        COSTS.encode_s(TILES) + COSTS.new_image_s
    )
    assert MachineModel.parsed(asdict(machine)) == machine


@pytest.mark.parametrize(
    ("field", "value"), [("slots", 0), ("slots", "8"), ("workers", 1.5), ("cached_images", -1), ("stall_s", None)]
)
def test_a_machine_that_cannot_be_is_refused_by_field(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{field} is "):
        MachineModel.parsed(asdict(MachineModel(COSTS, tiles=TILES)) | {field: value})


def test_costs_that_are_no_numbers_are_refused_by_field() -> None:
    with pytest.raises(ValueError, match="tile_s is nan"):
        MachineModel.parsed(asdict(MachineModel(replace(COSTS, tile_s=math.nan), tiles=TILES)))
