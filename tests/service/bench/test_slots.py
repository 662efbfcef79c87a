"""Decode steps timed by rows: on a clock of our own, on the model as it would be served."""

from __future__ import annotations

import json
from itertools import count

import pytest

from model.bench.gpu.rows import Rows
from model.complexity import slot_bytes
from service.bench import slots as slots_bench
from service.bench.slots import slot_speeds
from service.configuration.settings import Settings
from service.worker.load import load_runner

MICRO = Settings(model="random:pheye-micro", devices="cpu", threads=1, context_tokens=512, dtype="float32")


def test_every_number_of_rows_is_timed_in_every_turn() -> None:
    ticks = count()
    found = slot_speeds(MICRO, (4, 1, 2), turns=3, clock=lambda: 0.1 * next(ticks))
    assert {rows: len(turns) for rows, turns in found.times.steps_s.items()} == {1: 3, 2: 3, 4: 3}
    assert found.times.steps_s[4] == pytest.approx([0.1] * 3)
    assert (found.encode_s, found.times.prompt_s) == (pytest.approx(0.1), pytest.approx(0.1))
    assert (found.device, found.dtype, found.threads) == ("cpu", "float32", 1)
    told = json.loads(json.dumps(found.as_json()))
    assert told["advice"]["slots"] == 4
    assert told["answers_per_s"]["4"] == pytest.approx(1 / (0.1 + 31 * 0.1 / 4))


def test_a_slot_is_counted_with_the_context_of_the_settings() -> None:
    found = slot_speeds(MICRO, (1,), turns=1)
    config = load_runner(MICRO.model_copy(update={"slots": 1}), "cpu").config
    assert found.slot_bytes == slot_bytes(config, 512, "float32")


@pytest.mark.parametrize(
    ("free_slots", "slots"), [pytest.param(2.5, 2, id="room for two"), pytest.param(-1.0, 1, id="no room at all")]
)
def test_memory_that_is_not_there_bounds_the_advice(
    monkeypatch: pytest.MonkeyPatch, free_slots: float, slots: int
) -> None:
    config = load_runner(MICRO.model_copy(update={"slots": 1}), "cpu").config
    server = slots_bench.need(slots_bench.parts(config, "float32", MICRO.model_copy(update={"slots": 1})))
    more_mb = (free_slots - 1) * slot_bytes(config, 512, "float32") / 1e6
    monkeypatch.setattr(slots_bench, "available_mb", lambda: (server.at_start_mb + more_mb) / slots_bench.MEMORY_SHARE)
    ticks = count()
    assert slot_speeds(MICRO, (1, 2, 4), turns=1, clock=lambda: 0.001 * next(ticks)).advice.slots == slots


def test_a_step_that_is_repeated_leaves_rows_as_they_were() -> None:
    runner = load_runner(MICRO.model_copy(update={"slots": 2}), "cpu")
    batch = Rows(runner)
    batch.fill([batch.image(), batch.image()], [batch.prompt(0), batch.prompt(1)])
    held = list(runner._slots.lengths)
    assert len(batch.repeat(1)) == 1
    assert len(batch.repeat(2)) == 2
    assert runner._slots.lengths == held
    batch.step()
    assert runner._slots.lengths == [length + 1 for length in held]
