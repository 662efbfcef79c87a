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

from service.configuration.plain_words import plain_value

THREADS = "pheye-doctor-"
_WORD = re.compile(r"\S+")
_START = re.compile(r"(?:\w+=)?(?:[^\w\s]?[a-zA-Z][\w+.-]*://)?")
_QUERY = re.compile(r"([?#]).*?(,?)\Z", re.DOTALL)
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)


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
    """Hide the user and the password of every address in a text, with a scheme or without, and queries and fragments.

    >>> masked("HTTPS_PROXY=http://me:secret@proxy:3128 me:hunt/er2@proxy https://x?token=1#2")
    'HTTPS_PROXY=http://***@proxy:3128 ***@proxy https://x?***'
    """
    return _WORD.sub(lambda word: _without_secrets(word[0]) if "@" in word[0] or "://" in word[0] else word[0], text)


def masked_value(name: str, value: object) -> str:
    """Write a variable's value in one short line, without what is secret in it.

    >>> masked_value("HTTP_PROXY", "me:hun ter@proxy:80"), masked_value("MY_TOKEN", "1"), masked_value("N", "a b")
    ('***@proxy:80', '***', 'a b')
    """
    if _SECRET.search(name) and isinstance(value, str | tuple):
        return "***" if value else ""
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return plain_value(_without_secrets(text))


def _without_secrets(address: str) -> str:
    """Hide what precedes the last `@`, but for the scheme and a name, and what follows `?` or `#`."""
    before, at, rest = address.rpartition("@")
    if at:
        start = _START.match(before)
        address = f"{start[0] if start else ''}***@{rest}"
    return _QUERY.sub(r"\1***\2", address)


def run_probes(probes: Mapping[str, Probe], timeout_s: float) -> list[Finding]:
    """Run all probes at once, and return what each has found by then.

    A probe that fails or does not end has a line that says so, and keeps none of the others from theirs.

    Args:
        probes: by their topic, in the order of their findings.
        timeout_s: for all of them together.
    """
    found: dict[str, Sequence[Finding]] = {}
    threads = [thread for topic, probe in probes.items() if (thread := _started(topic, probe, found)) is not None]
    end_s = time.monotonic() + timeout_s
    for thread in threads:
        thread.join(max(0.0, end_s - time.monotonic()))
    late = f"not known: no answer within {timeout_s:g} s"
    return [finding for topic in probes for finding in found.get(topic, [Finding(topic, (late,))])]


def still_running() -> bool:
    """Say whether a probe has not ended; one in the middle of an import would spoil an orderly exit."""
    return any(thread.name.startswith(THREADS) for thread in enumerate_threads())


def _started(topic: str, probe: Probe, found: dict[str, Sequence[Finding]]) -> Thread | None:
    thread = Thread(target=_run, args=(topic, probe, found), name=THREADS + topic, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # the system gives no more threads
        found[topic] = [_unknown(topic, error)]
        return None
    return thread


def _run(topic: str, probe: Probe, found: dict[str, Sequence[Finding]]) -> None:
    try:
        found[topic] = probe()
    except Exception as error:  # whatever a machine has in store; the other probes go on
        found[topic] = [_unknown(topic, error)]


def _unknown(topic: str, error: Exception) -> Finding:
    reason = (str(error).strip().splitlines() or [""])[0]
    return Finding(topic, (f"not known: {type(error).__name__}: {reason}",))
