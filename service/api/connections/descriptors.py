"""File descriptors: the process's limit, and how many of them connections may take. Called once, at start-up."""

from __future__ import annotations

import math
import resource
from dataclasses import dataclass

from service.configuration.settings import SettingsError

WANTED = 65_536  # descriptors; more would only make each start of a process slower
MOST_CONNECTIONS = 2048  # unless a setting says otherwise: each may hold some 0.4 MB of unread and unsent bytes
OWN = 128  # files, libraries, log, event loop, decoders
FOR_EACH_WORKER = 16  # pipes, and those of the next one while the old one ends
FOR_EACH_FETCH = 3  # of an image by URL: its connection, and those of looking up a name
PROBES = 16  # connections beyond the bound that may ask the probes and the metrics only
LEAST_CONNECTIONS = 64  # with fewer there is nothing to serve
LEAST_ACCEPTS, MOST_ACCEPTS = 16, 32  # connections accepted in one turn of the event loop
ACCEPT_SHARE = 16  # of the descriptors, one of so many
TURNS = 4  # of the event loop, from accept to the close of a connection that is one too many


class TooFewDescriptors(SettingsError):
    """The process may not open as many files as the settings need."""


@dataclass(frozen=True, slots=True)
class ConnectionPlan:
    """Bounds: connections that may be open, and connections accepted in one turn of the event loop."""

    most: int
    accepts: int


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files towards the hard one, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ceiling = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
    if soft == resource.RLIM_INFINITY or soft >= ceiling:
        return WANTED if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (ceiling, hard))
    return ceiling


def plan_connections(descriptors: int, workers: int, wanted: int, fetches: int = 0) -> ConnectionPlan:
    """Divide the descriptors: the reserve first, the rest for connections.

    Args:
        descriptors: how many the process may have open.
        workers: how many worker processes there will be.
        wanted: connections, as the settings say; 0 takes what there is, up to `MOST_CONNECTIONS`.
        fetches: how many images may be fetched at the same time.

    Raises:
        TooFewDescriptors: there are not as many; the message says how many are needed.

    >>> plan_connections(1024, workers=1, wanted=0)
    ConnectionPlan(most=736, accepts=32)
    """
    # They are accepted before anybody can count them, and what is refused is closed some turns later.
    accepts = max(LEAST_ACCEPTS, min(MOST_ACCEPTS, descriptors // ACCEPT_SHARE))
    fixed = OWN + FOR_EACH_WORKER * workers + FOR_EACH_FETCH * fetches + PROBES
    left = descriptors - fixed - TURNS * accepts
    if left < (wanted or LEAST_CONNECTIONS):
        rest = fixed + (wanted or LEAST_CONNECTIONS)
        enough = max(rest + TURNS * LEAST_ACCEPTS, math.ceil(rest / (1 - TURNS / ACCEPT_SHARE)))
        lower = f" for {wanted} connections, or set it lower" if wanted else ""
        raise TooFewDescriptors(
            f"PHEYE_MAX_CONNECTIONS: {descriptors} open files are allowed (ulimit -n); allow {enough}{lower}"
        )
    return ConnectionPlan(wanted or min(left, MOST_CONNECTIONS), accepts)
