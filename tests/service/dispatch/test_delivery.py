"""Events of steps on their way to reservations, and what is measured as they pass."""

from __future__ import annotations

import time
from functools import partial
from typing import cast
from unittest.mock import Mock

import numpy as np
import pytest
from cachetools import LRUCache

from model.pixels.tiles import ImageKey, TiledImage
from model.request import Sampling
from model.runtime.runner import ModelRunner
from service.api.request_log import work_of
from service.bench.capacity.costs import MachineModel, StepCosts
from service.bench.capacity.simulated_model import SimulatedModel, VirtualClock
from service.dispatch.delivery import Delivery
from service.dispatch.history import RowHistory
from service.dispatch.reservation import AcceptedRow, Reservation
from service.messages.from_worker import Admitted, Finished, Preempted, Refused, RowTimings, Usage
from service.messages.rows import Row
from service.messages.to_worker import Submit
from service.metrics.service_metrics import Metrics
from service.worker.engine import Engine

about = partial(pytest.approx, abs=0.5)

IMAGE = TiledImage(ImageKey("image"), 1, 1, np.zeros((5, 1, 1, 3), dtype=np.uint8))


def accepted(*names: str) -> dict[str, AcceptedRow]:
    """Rows of one request, by their id."""
    reservation = Reservation(Mock(), len(names), 60.0)
    reservation.rows = [
        AcceptedRow(Row(name, "What?", Sampling(max_tokens=2)), IMAGE, reservation, index)
        for index, name in enumerate(names)
    ]
    return {row.id: row for row in reservation.rows}


def waited(metrics: Metrics) -> tuple[float, float]:
    """How many answers were measured in the waiting queue, and for how many seconds."""
    (family,) = metrics.queue_seconds.collect()
    values = {sample.name.rpartition("_")[2]: sample.value for sample in family.samples}
    return values["count"], values["sum"]


def ended(queue_s: float) -> Finished:
    return Finished("r", "", "stop", Usage(1, 1, 1, 1, 0), RowTimings(queue_s, 0.25, 0.0, 0.0))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    """What the API process takes for the time while rows wait."""
    virtual = VirtualClock()
    virtual.now_s = time.monotonic()  # at which rows begin to wait
    monkeypatch.setattr("service.dispatch.row_wait.time", Mock(monotonic=virtual))
    monkeypatch.setattr("service.dispatch.history.time", Mock(monotonic=virtual))
    return virtual


def test_the_wait_of_an_answer_that_is_replayed_is_measured_once(clock: VirtualClock) -> None:
    metrics, rows = Metrics(), accepted("r")
    delivery, row = Delivery(metrics, Mock()), rows["r"]
    row.given()
    delivery.deliver(rows, [Admitted("r", 2.5, resumed=False)])
    row.lost_worker()
    row.given()
    delivery.deliver(rows, [Admitted("r", 0.1, resumed=False)])
    assert (row.queue_s, waited(metrics)) == (about(2.5), (1, about(2.5)))


def test_the_time_without_a_worker_and_in_the_queue_of_one_that_died_is_waiting(clock: VirtualClock) -> None:
    """A worker tells only for how long a row waited there; others may have had it before, or none for long."""
    metrics, rows = Metrics(), accepted("r")
    delivery, row = Delivery(metrics, Mock()), rows["r"]
    clock.now_s += 3.0
    row.given()
    clock.now_s += 20.0  # in the queue of a worker that dies before it tells of it
    row.lost_worker()
    row.given()
    delivery.deliver(rows, [Admitted("r", 2.5, encode_s=0.5)])
    clock.now_s += 100.0  # of prefill and decoding
    row.lost_worker()
    clock.now_s += 4.0
    row.given()
    delivery.deliver(rows, [Admitted("r", 0.5), ended(0.5)])
    assert waited(metrics) == (1, about(25.0))
    assert row.end is not None
    assert row.end.timings.queue_s == about(29.5)
    told = row.end.timings.encode_s, row.end.timings.prefill_s, row.end.timings.decode_s
    assert told == (0.25, 0.0, 0.0), "of the last worker, as docs/operations.md says: not the 100 s of the dead one"


def test_an_answer_that_waits_again_for_a_slot_when_its_worker_dies_has_waited_all_along(clock: VirtualClock) -> None:
    rows = accepted("r")
    delivery, row = Delivery(Metrics(), Mock()), rows["r"]
    row.given()
    delivery.deliver(rows, [Admitted("r", 1.0), Preempted("r")])
    clock.now_s += 8.0
    assert work_of([row], None)["queue_s"] == about(9.0)
    row.lost_worker()
    row.given()
    delivery.deliver(rows, [Admitted("r", 0.5), ended(0.5)])
    assert work_of([row], None)["queue_s"] == about(9.5)


def test_the_log_tells_how_long_an_answer_has_waited_that_never_got_a_slot(clock: VirtualClock) -> None:
    """So a deadline that has passed in the queue shows what it passed with."""
    (row,) = accepted("r").values()
    row.given()
    clock.now_s += 60.0
    assert work_of([row], None)["queue_s"] == about(60.0)


def test_a_trace_shows_no_work_while_there_was_no_worker(clock: VirtualClock) -> None:
    history = RowHistory()
    history.given()
    history.worker_died(0)
    clock.now_s += 5.0
    history.given()
    clock.now_s += 3.0
    history.admitted(1.0)
    shown = [(each.name, each.end_s - each.start_s) for each in history.phases((), clock.now_s)]
    assert shown == [("queue", about(0.0)), ("queue", about(6.0)), ("prefill", about(2.0)), ("decode", 0.0)]


def test_the_encoding_of_its_image_is_no_wait_of_an_answer(clock: VirtualClock) -> None:
    """So say its timings, in the log and in the answer; the metric says the same."""
    metrics, rows = Metrics(), accepted("r")
    machine = MachineModel(StepCosts(0.0, 1.0, 0.5, 0.0, 0.0, 0.1, 0.0, 0.0, 0.0), tiles=5)
    engine = Engine(cast(ModelRunner, SimulatedModel(machine, clock, LRUCache(9))), stall_s=0.25, clock=clock)
    engine.submit(Submit(IMAGE, (rows["r"].row,)))
    row, delivery = rows["r"], Delivery(metrics, Mock())
    row.given()
    clock.now_s += 2.0  # before the engine's first step
    while engine.busy:
        delivery.deliver(rows, engine.step().events)
    assert row.end is not None
    assert (row.end.timings.queue_s, row.end.timings.encode_s) == (about(2.0), 5.0)
    assert (row.queue_s, waited(metrics)) == (about(2.0), (1, about(2.0)))


def test_a_request_that_is_refused_counts_once_whatever_it_asks() -> None:
    metrics, rows = Metrics(), accepted("a", "b", "c")
    Delivery(metrics, Mock()).deliver(rows, [Refused(name, "question", "too long") for name in tuple(rows)])
    (family,) = metrics.requests_dropped.collect()
    assert [each.value for each in family.samples if each.labels.get("reason") == "refused"] == [1.0]
    assert not rows
