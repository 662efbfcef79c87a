"""Signals in the processes that tests start, whatever the suite itself was started with."""

from __future__ import annotations

import signal


def take_interrupts() -> None:
    """As a child's `preexec_fn`: Ctrl-C reaches it even when the suite ignores SIGINT (`nohup make test &`)."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
