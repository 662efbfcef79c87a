"""The requests that the application works on, so that shutdown can end those that would not end in time.

Knows no routes. Event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from service.api.request_context import RequestContext


class RunningRequests:
    """The tasks of all requests under way.

    Attributes:
        stopping: set when shutdown has begun to cancel requests; a cancelled one then owes its client a 503.
    """

    def __init__(self) -> None:
        self.stopping = False
        self._tasks: dict[asyncio.Task[object], RequestContext] = {}

    @contextmanager
    def noted(self, context: RequestContext) -> Iterator[None]:
        """Note that the current task works on a request, while it does."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request is handled by a task")
        self._tasks[task] = context
        try:
            yield
        finally:
            del self._tasks[task]

    def cancel_unanswered(self) -> None:
        """Cancel every request of whose answer nothing was sent."""
        self.stopping = True
        for task, context in self._tasks.items():
            if context.sent_status is None:
                task.cancel()
