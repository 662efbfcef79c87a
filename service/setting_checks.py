"""Checks of single settings, and the words for variables that are none.

Knows no setting by name; `service.settings` says which check is whose. Pure but for the file of keys; any thread.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Collection
from typing import Any

from service.client_policy import ClientPolicy, read_key_file
from service.image_hosts import host_rules

SHORTEST_GUESSED = 3  # letters of an unknown name; with fewer it resembles whatever is short


def split_keys(value: Any) -> Any:
    """Split comma-separated keys, as an environment variable has them, into a list.

    Raises:
        ValueError: text without any entry, such as a comma alone; it would open the service to everybody.
    """
    if not isinstance(value, str):
        return value
    if not value.strip():
        return ()
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if not parts:
        raise ValueError("there is no key in it; leave it out to ask for none")
    return parts


def split_names(value: Any) -> Any:
    """Split comma-separated names, as an environment variable has them, into a list."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def check_devices(value: str) -> str:
    """Check a comma-separated list of devices.

    Raises:
        ValueError: one of them is none.
    """
    names = [name.strip() for name in value.split(",")]
    for name in names:
        if not re.fullmatch(r"cpu|cuda|cuda:\d+", name) and names != ["auto"]:
            raise ValueError(f"{name!r} is not a device; write auto, or cpu, cuda:0, ... with commas between")
    return ",".join(names)


def check_networks(value: str) -> str:
    """Check a comma-separated list of addresses and networks.

    Raises:
        ValueError: one of them is neither.
    """
    names = [name.strip() for name in value.split(",") if name.strip()]
    for name in names:
        try:
            network = ipaddress.ip_network(name, strict=False)
        except ValueError:
            raise ValueError(f"{name!r} is neither an IP address nor a network such as 10.0.0.0/8") from None
        address, slash, _ = name.partition("/")
        if slash and ipaddress.ip_address(address) != network.network_address:
            raise ValueError(
                f"{name!r} is one address inside a network; write {network} for the whole network, or {address} for "
                "that address alone"
            )
    return ",".join(names)


def check_image_hosts(value: str) -> str:
    """Check a comma-separated list of hosts from which images are fetched.

    Raises:
        ValueError: one of them is none.
    """
    host_rules(value)
    return value


def check_key_file(value: str) -> str:
    """Check the file of keys, if one is named.

    Raises:
        ValueError: it cannot be read, or is wrong.
    """
    if value:
        read_key_file(value, ClientPolicy())
    return value


def unknown_variable(key: str, known: Collection[str], prefix: str) -> str:
    """Say that a variable is no setting, and which one it resembles, if any.

    The prefix, which all of them have, does not count as a resemblance.

    >>> unknown_variable("PHEYE_SLOT", ["PHEYE_PORT", "PHEYE_SLOTS"], "PHEYE_")
    'PHEYE_SLOT: there is no such setting; the closest is PHEYE_SLOTS'
    """
    if "_SERVICE_" in key or "_TCP" in key:
        return f"{key}: there is no such setting (Kubernetes service links? set enableServiceLinks: false)"
    name, names = key.upper().removeprefix(prefix), [each.removeprefix(prefix) for each in known]
    near = difflib.get_close_matches(name, names, n=1) if len(name) >= SHORTEST_GUESSED else []
    hint = f"the closest is {prefix}{near[0]}" if near else "`pheye serve --help` names them all"
    return f"{key}: there is no such setting; {hint}"
