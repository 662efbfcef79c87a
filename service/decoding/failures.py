"""Failures of decoders: what ended one before its answer, whether its image did it, and the words for the sender.

Knows no processes and no clients. Pure functions.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Literal

from service.errors import InvalidField, ServiceError, Unavailable

Failure = Literal["timeout", "crash", "hung", "killed"]
OF_ITS_OWN: tuple[Failure, ...] = ("timeout", "crash")  # that an image is to blame for, and no other is the worse for
# How a process ends that is not ended by its image: of itself, between two of them; by a signal of somebody else;
# unseen, since the fork server was ended too.
_FROM_OUTSIDE = (0, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, 255, None)


def failure_of(exit_code: int | None) -> Failure:
    """Tell what ended a decoder process before its answer, from its exit code.

    >>> failure_of(-signal.SIGKILL), failure_of(-signal.SIGXCPU), failure_of(-signal.SIGSEGV)
    ('killed', 'timeout', 'crash')
    """
    if exit_code in _FROM_OUTSIDE:
        return "killed"
    return "timeout" if exit_code == -signal.SIGXCPU else "crash"


def refusal_of(failures: Sequence[Failure], tries: int, timeout_s: float) -> ServiceError | None:
    """Say how an image is refused whose decoders have failed so, one after the other; None if it is tried again.

    Args:
        failures: what became of its decoders.
        tries: how many it may have that fail through no fault of its own.
        timeout_s: seconds that each may take.
    """
    if failures[-1] == "timeout":
        return InvalidField(f"image: could not be decoded within {timeout_s:g} s; make it smaller, or save it anew")
    if failures[-1] == "crash":
        return InvalidField("image: could not be decoded; its decoder crashed")
    if len(failures) < tries:
        return None
    if "hung" in failures:
        return Unavailable(
            f"an image decoder did not respond within {timeout_s:g} s, and others failed too; the machine is "
            "overloaded, or something stops its processes"
        )
    return InvalidField(
        f"image: could not be decoded; {len(failures)} decoders were killed, one after the other: by the system if it "
        "has no memory left for an image so large, or by somebody; if other images fail too, try again later"
    )
