"""Events of steps on their way to reservations, and what is measured as they pass."""

from __future__ import annotations

from typing import cast
from unittest.mock import Mock

import numpy as np
import pytest
from cachetools import LRUCache

from model.pixels.tiles import ImageKey, TiledImage
from model.request import Sampling
from model.runtime.runner import ModelRunner
from service.bench.capacity.costs import MachineModel, StepCosts
from service.bench.capacity.simulated_model import SimulatedModel, VirtualClock
from service.dispatch.delivery import Delivery
from service.dispatch.reservation import AcceptedRow, Reservation
from service.messages.from_worker import Admitted, Finished, Refused, RowTimings, Usage
from service.messages.rows import Row
from service.messages.to_worker import Submit
from service.metrics.service_metrics import Metrics
from service.worker.engine import Engine

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


def test_the_wait_of_an_answer_that_is_replayed_is_measured_once() -> None:
    metrics, rows = Metrics(), accepted("r")
    delivery, row = Delivery(metrics, Mock()), rows["r"]
    delivery.deliver(rows, [Admitted("r", 2.5, resumed=False)])
    row.lost_worker()
    delivery.deliver(rows, [Admitted("r", 0.1, resumed=False)])
    assert (row.queue_s, waited(metrics)) == (2.5, (1, 2.5))


def test_the_time_without_a_worker_is_waiting() -> None:
    """A worker tells only for how long a row waited there; before it there may have been none for long."""
    metrics, rows = Metrics(), accepted("r")
    delivery, row = Delivery(metrics, Mock()), rows["r"]
    row.waiting_since_s -= 3.0
    row.given()
    delivery.deliver(rows, [Admitted("r", 2.5)])
    row.lost_worker()
    row.waiting_since_s -= 4.0
    row.given()
    end = Finished("r", "", "stop", Usage(1, 1, 1, 1, 0), RowTimings(0.5, 0.25, 0.0, 0.0))
    delivery.deliver(rows, [Admitted("r", 0.5), end])
    assert waited(metrics) == (1, pytest.approx(5.5, abs=0.5))
    assert row.end is not None
    assert row.end.timings.queue_s == pytest.approx(7.5, abs=0.5)


def test_the_encoding_of_its_image_is_no_wait_of_an_answer() -> None:
    """So say its timings, in the log and in the answer; the metric says the same."""
    clock, metrics, rows = VirtualClock(), Metrics(), accepted("r")
    machine = MachineModel(StepCosts(0.0, 1.0, 0.5, 0.0, 0.0, 0.1, 0.0, 0.0, 0.0), tiles=5)
    engine = Engine(cast(ModelRunner, SimulatedModel(machine, clock, LRUCache(9))), stall_s=0.25, clock=clock)
    engine.submit(Submit(IMAGE, (rows["r"].row,)))
    clock.now_s += 2.0  # before the engine's first step
    row, delivery = rows["r"], Delivery(metrics, Mock())
    while engine.busy:
        delivery.deliver(rows, engine.step().events)
    assert row.end is not None
    assert (row.end.timings.queue_s, row.end.timings.encode_s) == (2.0, 5.0)
    assert (row.queue_s, waited(metrics)) == (2.0, (1, 2.0))


def test_a_request_that_is_refused_counts_once_whatever_it_asks() -> None:
    metrics, rows = Metrics(), accepted("a", "b", "c")
    Delivery(metrics, Mock()).deliver(rows, [Refused(name, "question", "too long") for name in tuple(rows)])
    (family,) = metrics.requests_dropped.collect()
    assert [each.value for each in family.samples if each.labels.get("reason") == "refused"] == [1.0]
    assert not rows
