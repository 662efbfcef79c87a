"""Deleted images that accepted requests still ask about: their features go when the last such answer is complete.

A request that waits, is preempted or is replayed encodes its image again, long after everything was deleted; so the
deletion is repeated whenever one of them ends. Event loop's thread only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable

from model.pixels.tiles import ImageKey
from service.dispatch.reservation import Reservation
from service.dispatch.workers.worker_pool import WorkerPool


class Deletions:
    """Deletions that requests accepted before them have not outlived yet."""

    def __init__(self, workers: WorkerPool) -> None:
        self._workers = workers
        self._deleted_s: dict[ImageKey, float] = {}  # the oldest deletion first

    def __len__(self) -> int:
        return len(self._deleted_s)

    def delete(self, image_key: ImageKey) -> None:
        """Drop an image's features everywhere, now and after every answer about it that was promised before."""
        self._deleted_s.pop(image_key, None)
        self._deleted_s[image_key] = time.monotonic()
        self._workers.forget(image_key)

    def revoke(self, image_key: ImageKey) -> None:
        """Let an image's features stay again, because it has been uploaded anew."""
        self._deleted_s.pop(image_key, None)
        self._workers.revoke(image_key)

    def request_ended(self, ended: Reservation, others: Iterable[Reservation]) -> None:
        """Repeat the deletion that a request has survived, and drop those that none of the others has to survive."""
        if ended.rows:
            image_key = ended.rows[0].image.image_key
            if ended.entered_s <= self._deleted_s.get(image_key, -math.inf):
                self._workers.forget(image_key)
        if self._deleted_s:
            oldest_s = min((each.entered_s for each in others), default=math.inf)
            while self._deleted_s and next(iter(self._deleted_s.values())) < oldest_s:
                del self._deleted_s[next(iter(self._deleted_s))]
