"""Events of steps on their way to reservations, and what is measured as they pass."""

from __future__ import annotations

from unittest.mock import Mock

from model.request import Sampling
from service.dispatch.delivery import Delivery
from service.dispatch.reservation import AcceptedRow, Reservation
from service.messages.from_worker import Admitted
from service.messages.rows import Row
from service.metrics.service_metrics import Metrics


def waited(metrics: Metrics) -> tuple[float, float]:
    """How many answers were measured in the waiting queue, and for how many seconds."""
    (family,) = metrics.queue_seconds.collect()
    values = {sample.name.rpartition("_")[2]: sample.value for sample in family.samples}
    return values["count"], values["sum"]


def test_the_wait_of_an_answer_that_is_replayed_is_measured_once() -> None:
    metrics, row = Metrics(), AcceptedRow(Row("r", "What?", Sampling()), Mock(), Reservation(Mock(), 1, 60.0), 0)
    delivery = Delivery(metrics, Mock())
    delivery.deliver({"r": row}, [Admitted("r", 2.5, resumed=False)])
    row.lost_worker()
    delivery.deliver({"r": row}, [Admitted("r", 0.1, resumed=False)])
    assert (row.queue_s, waited(metrics)) == (2.5, (1, 2.5))
