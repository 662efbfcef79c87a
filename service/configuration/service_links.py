"""Kubernetes' service links: variables that a Service named `pheye`, or `pheye-gpu`, puts into the environment of pods.

Owns how they are told from settings, whose prefix they share by chance: `PHEYE_PORT=tcp://10.0.0.1:8000` is no port.
Pure but for reading the environment; any thread.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

# What the kubelet makes of a service's name, behind the prefix of the settings.
_NAME = re.compile(r"PHEYE_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
_PORT = re.compile(r"PHEYE_(\w+_)?PORT")
_ADDRESS = re.compile(r"(tcp|udp|sctp)://\S+:\d+")


def service_links(environment: Mapping[str, str] = os.environ) -> list[str]:
    """List the variables that are service links and no settings, in order.

    >>> service_links({"PHEYE_PORT": "tcp://10.0.0.1:80", "PHEYE_SERVICE_HOST": "10.0.0.1", "PHEYE_SLOTS": "2"})
    ['PHEYE_PORT', 'PHEYE_SERVICE_HOST']
    >>> service_links({"PHEYE_PORT": "80"})
    []
    """
    return sorted(name for name, value in environment.items() if _is_link(name, value))


def _is_link(name: str, value: str) -> bool:
    return bool(_NAME.fullmatch(name) or (_PORT.fullmatch(name) and _ADDRESS.fullmatch(value)))


def ignored_links(environment: Mapping[str, str] = os.environ) -> str:
    """Say in a line which service links are ignored; empty if there are none."""
    links = service_links(environment)
    if not links:
        return ""
    more = f" and {len(links) - 3} more" if len(links) > 3 else ""
    return (
        f"ignored, because Kubernetes made them for a Service and they are no settings: {', '.join(links[:3])}{more}; "
        "enableServiceLinks: false in the pod keeps them out"
    )
