"""Checks of single settings, and the words for variables that are none.

Knows no setting by name; `service.settings` says which check is whose. Pure but for the file of keys; any thread.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from typing import Any

from service.client_policy import ClientPolicy, read_key_file


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
            ipaddress.ip_network(name)
        except ValueError as error:
            raise ValueError(f"{name!r} is neither an IP address nor a network such as 10.0.0.0/8: {error}") from None
    return ",".join(names)


def check_key_file(value: str) -> str:
    """Check the file of keys, if one is named.

    Raises:
        ValueError: it cannot be read, or is wrong.
    """
    if value:
        read_key_file(value, ClientPolicy())
    return value


def unknown_variable(key: str, known: set[str]) -> str:
    """Say that a variable is no setting, and which one it resembles."""
    near = difflib.get_close_matches(key.upper(), known, n=1, cutoff=0.0)
    hint = " (Kubernetes service links? set enableServiceLinks: false)" if "_SERVICE_" in key or "_TCP" in key else ""
    return f"{key}: there is no such setting; the closest is {near[0]}{hint}"
