"""Load on the service: closed loops of many clients about known and new images, streamed and whole.

The load comes from `python -m loadtest`, a process of its own. One thread.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from model.bench.gpu.item import Data, Item, PartInput
from service.bench.gpu.items.clients import captions, upload
from service.bench.gpu.part import ROOT, child_environment
from service.bench.gpu.server import MAX_TOKENS

CLIENTS = (32, 64, 8, 1)  # the goals are at 32 and at 64
KNOWN_IMAGES = 8
LIMIT_S = 60.0


def items(given: PartInput) -> Iterator[Item]:
    """List the loads: those that the goals are about, then the rest of the grid."""
    counts = CLIENTS if given.device == "cuda" else (2,)
    few, crowd = counts[0], counts[min(1, len(counts) - 1)]
    whole = partial(closed_loop, given, hits=0.0, stream=False)
    yield Item(f"{few} clients, new images, whole answers", partial(whole, few), LIMIT_S)
    yield Item(f"{crowd} clients, known images, whole answers", partial(by_handle, given, crowd), LIMIT_S)
    for clients in counts:
        yield Item(f"{clients} clients, new images", partial(closed_loop, given, clients, 0.0), LIMIT_S)
        yield Item(f"{clients} clients, known images", partial(closed_loop, given, clients, 1.0), LIMIT_S)
    if crowd != few:
        yield Item(f"{crowd} clients, new images, whole answers", partial(whole, crowd), LIMIT_S)


def closed_loop(given: PartInput, clients: int, hits: float, *, stream: bool = True) -> Data:
    """Let a number of clients ask for captions, and return the summary of the load."""
    per_client = {1: 24, 8: 12, 32: 8, 64: 6}.get(clients, 3)
    words = ["--clients", str(clients), "--requests", "1", "--per-client", str(per_client), "--hits", str(hits)]
    return loadtest(given.url, [*words, *(["--stream"] if stream else [])], seed=f"{clients}{int(hits)}{int(stream)}")


def loadtest(url: str, words: list[str], seed: str, *, wait_s: float = LIMIT_S) -> dict[str, Any]:
    """Run a load of captions and return its summary.

    Raises:
        RuntimeError: there are no results; the message is what the program said.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / "results.json"
        asked = ["run", "--server", f"server={url}", "--captions", "1", "--max-tokens", str(MAX_TOKENS), "--seed", seed]
        done = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", "loadtest", *asked, "--warm-up", "2", "--json", str(file), *words],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=child_environment(),
            check=False,
            timeout=wait_s,
        )
        if not file.exists():
            raise RuntimeError(f"loadtest ended with {done.returncode}: {done.stderr[-300:]}")
        found = json.loads(file.read_text(encoding="utf-8"))
    summary: dict[str, Any] = found["points"][0]["summary"]
    return summary | {"lost": sum(summary["failed"].values())}


def by_handle(given: PartInput, clients: int) -> Data:
    """Ask for whole captions of uploaded images, decoded before: this times the API and the engine."""
    ids = upload(given.url, KNOWN_IMAGES)
    captions(given.url, ids, KNOWN_IMAGES, MAX_TOKENS)
    replies = captions(given.url, ids * (clients * 6 // KNOWN_IMAGES or 1), clients, MAX_TOKENS)
    took_s = max(reply.ended_s for reply in replies) - min(reply.asked_s for reply in replies)
    good = [reply for reply in replies if reply.status == 200]
    return {
        "clients": clients,
        "requests": len(replies),
        "lost": len(replies) - len(good),
        "took_s": took_s,
        "answers_per_s": len(good) / took_s,
    }
