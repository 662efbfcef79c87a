"""The queue in front of the decoders, fair between clients: round-robin, and oldest first within a client.

Knows neither images nor processes. Event loop's thread only.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class RoundRobinQueue(Generic[T]):
    """Waiting items by client; who was served last comes last.

    >>> queue = RoundRobinQueue()
    >>> for client, item in (("a", 1), ("a", 2), ("a", 3), ("b", 4)):
    ...     queue.push(client, item)
    >>> [queue.pop()[1] for _ in range(len(queue))]
    [1, 4, 2, 3]
    """

    def __init__(self) -> None:
        self._clients: OrderedDict[str, deque[T]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._clients.values()))

    def push(self, client: str, item: T, *, first: bool = False) -> None:
        """Add an item behind the others of its client, or before them."""
        items = self._clients.setdefault(client, deque())
        items.appendleft(item) if first else items.append(item)

    def pop(self, may: Callable[[str], bool] = lambda _: True) -> tuple[str, T]:
        """Take the oldest item of the first client in turn that may have one.

        Returns:
            The client and its item.

        Raises:
            IndexError: nothing waits, or nobody who waits may.
        """
        client = next(filter(may, self._clients), None)
        if client is None:
            raise IndexError("nothing waits, or nobody who waits may")
        items = self._clients.pop(client)
        item = items.popleft()
        if items:
            self._clients[client] = items
        return client, item

    def remove(self, client: str, item: T) -> None:
        """Take out an item that waits no longer; nothing happens if it is not there."""
        items = self._clients.get(client, deque())
        if item in items:
            items.remove(item)
        if not items:
            self._clients.pop(client, None)
