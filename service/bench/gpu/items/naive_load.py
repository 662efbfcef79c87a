"""The naive server under the load that the service got: it answers one request after another, so a few are enough.

One thread.
"""

from __future__ import annotations

from collections.abc import Iterator

from model.bench.gpu.item import Item, PartInput
from service.bench.gpu.items.load import loadtest

CLIENTS, REQUESTS = 32, 32


def items(given: PartInput) -> Iterator[Item]:
    """New images, whole answers: the naive server streams nothing."""
    clients = CLIENTS if given.device == "cuda" else 2
    words = ["--clients", str(clients), "--requests", str(clients), "--per-client", "1", "--hits", "0"]
    name = f"{clients} clients, new images, whole answers"
    yield Item(name, lambda: loadtest(given.url, words, seed="32", wait_s=max(20.0, given.seconds)), 90.0)
