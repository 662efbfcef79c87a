"""The metrics of workers: each under its number and the device that it runs on, which it may choose itself.

Knows no requests. Event loop's thread only.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from service.dispatch.workers.supervisor import WorkerSupervisor
from service.metrics.service_metrics import Metrics


class WorkerGauges:
    """Gauges and counters of each worker, declared before any of them is ready.

    Args:
        metrics: where it is published.
        supervisors: of the workers.
    """

    def __init__(self, metrics: Metrics, supervisors: Sequence[WorkerSupervisor]) -> None:
        self._metrics = metrics
        self._supervisors = supervisors
        for each in supervisors:
            self._declare(each)

    def _declare(self, supervisor: WorkerSupervisor) -> None:
        self._metrics.declare_worker(supervisor.labels, partial(getattr, supervisor, "pid"))

    def name_device(self, supervisor: WorkerSupervisor, device: str) -> None:
        """Let metrics name the device that a worker has chosen, where the settings leave the choice to it."""
        number, before = supervisor.labels
        if before != device:
            self._metrics.forget_worker(supervisor.labels)
            supervisor.labels = (number, device)
            self._declare(supervisor)
            self._metrics.worker_restarts.labels(*supervisor.labels).inc(supervisor.deaths)

    def count_restart(self, supervisor: WorkerSupervisor) -> None:
        """Count a worker that died and is started again."""
        self._metrics.worker_restarts.labels(*supervisor.labels).inc()

    def show(self) -> None:
        """Set the gauges of every worker to what they are now."""
        for each in self._supervisors:
            running = sum(row.admitted for row in each.rows.values())
            self._metrics.show_worker(each.labels, running, each.card.slots if each.card else 0, each.report)
