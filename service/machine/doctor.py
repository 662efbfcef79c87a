"""The report of `pheye doctor`: every probe's findings, as one block to paste into an issue.

Owns the choice and order of probes, and what the block looks like. Main thread.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import partial

from service.batch.answerers.server import ServiceConnection
from service.configuration.plain_words import plain_value
from service.configuration.settings import Settings
from service.machine import compute, folders, surroundings
from service.machine.finding import Finding, Probe, masked, run_probes
from service.machine.running_server import running

TIMEOUT_S = 60.0  # for all probes together; torch's import alone can take many seconds on a busy machine
WIDTH, LINE_CHARS = 118, 20_000
_INDENT = 17


def examine(settings: Settings, server: ServiceConnection | None, timeout_s: float = TIMEOUT_S) -> list[Finding]:
    """Examine this machine, and a running server beside it if there is one."""
    url = None if server is None else server.url
    probes: dict[str, Probe] = {
        "versions": partial(surroundings.versions, settings),
        "processor": surroundings.cpu,
        "compute": partial(compute.compute, settings),
        "model": partial(compute.model, settings),
        "port": partial(surroundings.port, settings, url),
        "open files": partial(surroundings.open_files, settings),
        "temporary space": surroundings.temporary_space,
        "folders": partial(folders.folders, settings),
        "keys": partial(surroundings.keys, settings),
        "settings": partial(surroundings.changed_settings, settings),
    }
    if server is not None:
        probes["server"] = partial(running, server)
    return run_probes(probes, timeout_s)


def block(findings: Sequence[Finding]) -> str:
    """Write the findings as one block, with what is to be mended last."""
    faults = [fault for finding in findings for fault in finding.faults]
    lines = [line for finding in findings for line in _lines(finding.topic, finding.lines)]
    verdict = [line for number, fault in enumerate(faults, 1) for line in _lines(f"mend {number}", [fault])]
    text = "\n".join([*lines, *(verdict or _lines("verdict", ["nothing found that would keep it from working"]))])
    return f"```text\n{text}\n```"


def _lines(topic: str, told: Sequence[str]) -> list[str]:
    """Wrap what is told of a topic; nothing that a machine says can draw on the terminal."""
    wrapped = []
    for line in told:
        plain = plain_value(surroundings.home_hidden(masked(line)), LINE_CHARS)  # before a line's end can cut a secret
        wrapped += textwrap.wrap(plain, WIDTH - _INDENT, break_on_hyphens=False) or [""]
    return [f"{topic if not index else '':<{_INDENT}}{line}" for index, line in enumerate(wrapped)]
