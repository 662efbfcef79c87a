"""Delivery: what came of a worker's step, on its way to the reservations of its rows, measured as it passes.

Knows no workers and no waiting queue. Event loop's thread only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from service.dispatch.reservation import AcceptedRow
from service.errors import InvalidField, RowFailed, ServiceError
from service.messages.from_worker import Admitted, Broken, Delta, Finished, Preempted, Refused, RowEvent
from service.metrics.service_metrics import Metrics
from service.moving_average import moving_average

SMOOTHING = 0.1  # weight of the newest row in the time that a row takes


class Delivery:
    """Hands each event to its row's reservation.

    Attributes:
        row_s: running average of the time a row takes from admission to end; 0 while nothing was measured.

    Args:
        metrics: told of times and counts.
        released: called when a row has left quarantine, so that its worker takes others again.
    """

    def __init__(self, metrics: Metrics, released: Callable[[], None]) -> None:
        self.row_s = 0.0
        self._metrics = metrics
        self._released = released

    def deliver(self, rows: dict[str, AcceptedRow], events: Iterable[RowEvent]) -> None:
        """Deliver a step's events.

        Args:
            rows: those that the worker has, by id; who has the whole answer is taken out.
            events: what the worker says of them.
        """
        for event in events:
            row = rows.get(event.id)
            if row is not None:  # else: cancelled while the step ran
                self._deliver(rows, row, event)

    def _deliver(self, rows: dict[str, AcceptedRow], row: AcceptedRow, event: RowEvent) -> None:
        reservation = row.reservation
        match event:
            case Admitted(queue_s=queue_s, resumed=resumed, encode_s=encode_s):
                row.admitted = True
                row.wait.admitted(queue_s, encode_s)
                if row.history is not None:
                    row.history.admitted(queue_s)
                if not resumed and row.queue_s is None:  # another worker has admitted it, in a replay
                    row.queue_s = row.wait.so_far_s
                    self._metrics.queue_seconds.observe(row.queue_s, reservation.exemplar)
            case Preempted():
                row.started = row.admitted = False
                row.wait.preempted()
                if row.history is not None:
                    row.history.preempted()
                self._metrics.request_preemptions.inc()
            case Delta():
                if row.first_token_s is None:
                    waited_s = time.monotonic() - reservation.entered_s
                    self._metrics.time_to_first_token_seconds.observe(waited_s, reservation.exemplar)
                was_quarantined = row.quarantined
                row.record(event)
                reservation.put(row.index, event)
                if was_quarantined and not row.quarantined:
                    self._released()
            case Finished():
                self._finish(rows, row, event)
            case Refused(field=name, detail=detail):
                if all(each.failure is None for each in reservation.rows):  # a request counts once
                    self._metrics.requests_dropped.labels(reason="refused").inc()
                self._end(rows, row, InvalidField(f"{name}: {detail}"))
            case Broken(detail=detail):
                self._end(rows, row, RowFailed(detail))

    def _finish(self, rows: dict[str, AcceptedRow], row: AcceptedRow, event: Finished) -> None:
        timings = event.timings
        waited_s = row.wait.elsewhere_s + timings.queue_s  # the worker knows only for how long it waited there
        row.end = event = replace(event, timings=replace(timings, queue_s=waited_s))
        took_s = timings.prefill_s + timings.decode_s
        self.row_s = moving_average(self.row_s, took_s, SMOOTHING)
        if row.first_token_s is not None and row.last_token_s > row.first_token_s:  # a choice comes as a whole
            per_token_s = (row.last_token_s - row.first_token_s) / (len(row.tokens) - 1)
            self._metrics.time_per_output_token_seconds.observe(per_token_s, row.reservation.exemplar)
        self._end(rows, row, event)

    def _end(self, rows: dict[str, AcceptedRow], row: AcceptedRow, event: Finished | ServiceError) -> None:
        del rows[row.id]
        row.reservation.put(row.index, event)
        if row.quarantined:
            self._released()
