"""Findings of `pheye doctor`, and probes that end in time whatever they meet.

Knows no probe. Main thread; each probe runs in a thread of its own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Thread
from threading import enumerate as enumerate_threads

THREADS = "pheye-doctor-"
_USER = re.compile(r"(://)[^/@\s]*@")


@dataclass(frozen=True, slots=True)
class Finding:
    """Outcome of a probe.

    Attributes:
        topic: what it is about, a word or two.
        lines: what is so.
        faults: what would keep the service from working, each with what to do.
    """

    topic: str
    lines: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


Probe = Callable[[], Sequence[Finding]]


def masked(text: str) -> str:
    """Hide the user and the password in every URL of a text.

    >>> masked("HTTPS_PROXY=http://me:secret@proxy:3128")
    'HTTPS_PROXY=http://***@proxy:3128'
    """
    return _USER.sub(r"\1***@", text)


def run_probes(probes: Mapping[str, Probe], timeout_s: float) -> list[Finding]:
    """Run all probes at once, and return what each has found by then.

    A probe that fails or does not end has a line that says so, and keeps none of the others from theirs.

    Args:
        probes: by their topic, in the order of their findings.
        timeout_s: for all of them together.
    """
    found: dict[str, Sequence[Finding]] = {}
    threads = [
        Thread(target=_run, args=(topic, probe, found), name=THREADS + topic, daemon=True)
        for topic, probe in probes.items()
    ]
    for thread in threads:
        thread.start()
    end_s = time.monotonic() + timeout_s
    for thread in threads:
        thread.join(max(0.0, end_s - time.monotonic()))
    late = f"not known: no answer within {timeout_s:g} s"
    return [finding for topic in probes for finding in found.get(topic, [Finding(topic, (late,))])]


def still_running() -> bool:
    """Say whether a probe has not ended; one in the middle of an import would spoil an orderly exit."""
    return any(thread.name.startswith(THREADS) for thread in enumerate_threads())


def _run(topic: str, probe: Probe, found: dict[str, Sequence[Finding]]) -> None:
    try:
        found[topic] = probe()
    except Exception as error:  # whatever a machine has in store; the other probes go on
        reason = (str(error).strip().splitlines() or [""])[0]
        found[topic] = [Finding(topic, (f"not known: {type(error).__name__}: {reason}",))]
