"""Load on the naive server, the same as the service got: it answers one at a time, so few requests are enough.

One thread.
"""

from __future__ import annotations

from collections.abc import Iterator

from model.bench.gpu.item import Item, PartInput
from service.bench.gpu.items.load import loadtest

CLIENTS, REQUESTS = 32, 32


def items(given: PartInput) -> Iterator[Item]:
    """List the loads, all with new images and whole answers: the naive server streams nothing."""
    clients = CLIENTS if given.device == "cuda" else 2
    words = ["--clients", str(clients), "--requests", str(clients), "--per-client", "1", "--hits", "0"]
    name = f"{clients} clients, new images, whole answers"
    yield Item(name, lambda: loadtest(given.url, words, seed="32", wait_s=max(20.0, given.seconds)), 90.0)
