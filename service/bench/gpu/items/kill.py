"""The death of a worker while it answers: every request must be answered all the same.

Linux, where a process can be asked for its children. One thread.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from model.bench.gpu.item import Data, Item, NotAvailable, PartInput
from service.bench.gpu.items.clients import captions, upload
from service.bench.gpu.server import MAX_TOKENS

IMAGES, WAIT_S, POLL_S = 16, 90.0, 0.05


def items(given: PartInput) -> Iterator[Item]:
    """List one measurement: a kill, with more answers under way than there are images."""
    yield Item("worker killed under load", lambda: killed(given), 120.0)


def killed(given: PartInput) -> Data:
    """Ask without trouble first, then again while the worker is killed.

    Returns:
        Answers that came, and how many say the same as in peace: greedy decoding goes on from the tokens that were
        given, but in bfloat16 a batch of other rows may round a near tie the other way.
    """
    ids = upload(given.url, IMAGES) * 2
    peace = captions(given.url, ids, len(ids), MAX_TOKENS)
    pid = worker_of(given.pid)
    times: dict[str, float] = {}

    def kill() -> None:
        os.kill(pid, signal.SIGKILL)
        times["killed"] = time.monotonic()
        times["ready"] = _ready_again(given, pid)

    storm = captions(given.url, ids, len(ids), MAX_TOKENS, meanwhile=kill)
    answered = [reply for reply in storm if reply.status == 200]
    same = sum(one.text == other.text for one, other in zip(peace, storm, strict=True))
    return {
        "verdict": "passed" if len(answered) == len(storm) else "failed",
        "requests": len(storm),
        "answered": len(answered),
        "same_text": same,
        "same_text_in_peace": _repeated(peace),
        "ready_again_s": times["ready"] - times["killed"],
        "last_answer_s": max(reply.ended_s for reply in storm) - times["killed"],
        "slowest_in_peace_s": max(reply.ended_s - reply.asked_s for reply in peace),
        "why": next((f"{reply.status}: {reply.text}" for reply in storm if reply.status != 200), ""),
    }


def _repeated(replies: list) -> int:  # type: ignore[type-arg]
    """Count the replies in the second half that equal those in the first half about the same images."""
    half = len(replies) // 2
    return sum(one.text == other.text for one, other in zip(replies[:half], replies[half:], strict=True))


def worker_of(pid: int) -> int:
    """Find the worker process of a service.

    Raises:
        NotAvailable: it cannot be found here.
    """
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text(encoding="ascii").split():
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
    raise NotAvailable(f"process {pid} has no worker that can be found")


def _ready_again(given: PartInput, dead: int) -> float:
    """Wait until the service has another worker and is ready, and return that time."""
    end_s = time.monotonic() + WAIT_S
    while time.monotonic() < end_s:
        time.sleep(POLL_S)
        try:
            if worker_of(given.pid) == dead:
                continue
            if httpx.get(f"{given.url}/readyz", timeout=5.0, trust_env=False).is_success:
                return time.monotonic()
        except (NotAvailable, OSError, httpx.HTTPError):
            continue
    raise RuntimeError(f"not ready {WAIT_S:.0f} s after its worker was killed")
