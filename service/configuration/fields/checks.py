"""Checks of what single settings must be, and the words for a variable that is no setting.

Knows no setting by name; `service.configuration.settings` says which check is whose. Pure but for files of
keys; any thread.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from service.configuration.client_policy import ClientPolicy
from service.configuration.image_hosts import host_rules
from service.configuration.key_files import read_key_file, read_plain_keys, split_keys

SHORTEST_GUESSED = 3  # letters of an unknown name; with fewer it resembles whatever is short
# First parts of the service's own paths. Under a prefix that begins with one, nobody could tell whether a proxy has
# stripped it.
OWN_PATHS = (
    "v1", "livez", "readyz", "health", "healthz", "ping", "metrics", "docs", "openapi.json", "playground",
    "favicon.ico", "mcp",
)  # fmt: skip
_ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_HOST_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


def none_if_empty(value: Any) -> Any:
    """Take an empty variable for one that is not set; as a path it would be the current folder."""
    return None if value == "" else value


def from_home(value: Path | None) -> Path | None:
    """Take `~` for the home folder, as a shell does, which sees neither `--flag=~/x` nor a file of variables.

    Raises:
        ValueError: there is no such user, or no home.
    """
    try:
        return value and value.expanduser()
    except RuntimeError:
        raise ValueError(f"{value}: there is no such home folder; write out its path") from None


OptionalFolder = Annotated[Path | None, BeforeValidator(none_if_empty), AfterValidator(from_home)]


def keys_in(value: Any) -> Any:
    """Split comma-separated keys, as an environment variable has them, into a list.

    Raises:
        ValueError: text without any entry, such as a comma or a space; it would open the service to everybody.
    """
    if not isinstance(value, str):
        return value
    if not value:
        return ()  # as unset: Compose passes an empty variable on
    parts = split_keys(value)
    if not parts:
        raise ValueError("there is no key in it; leave it out to ask for none")
    return parts


def split_names(value: Any) -> Any:
    """Split comma-separated names, as an environment variable has them, into a list."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def check_devices(value: str) -> str:
    """Check a comma-separated list of devices; a GPU gets one name, by which workers that share it are counted.

    Raises:
        ValueError: one of them is none.

    >>> check_devices("cuda, cuda:0")
    'cuda:0,cuda:0'
    """
    names = [name.strip() for name in value.split(",")]
    for name in names:
        if not re.fullmatch(r"cpu|cuda|cuda:\d+", name) and names != ["auto"]:
            raise ValueError(f"{name!r} is not a device; write auto alone, or cpu, cuda:0, ... with commas between")
    return ",".join("cuda:0" if name == "cuda" else name for name in names)


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


def check_root_path(value: str) -> str:
    """Check a path prefix.

    Raises:
        ValueError: it is no path, ends in a slash, or looks like a path of the service itself.
    """
    if value and not _ROOT_PATH.fullmatch(value):
        raise ValueError("write a path such as /pheye: a slash in front, none at the end, letters, digits and ._~-")
    parts = value.split("/")[1:]
    if "." in parts or ".." in parts:
        raise ValueError("a path prefix has no . or .. in it")
    if parts and parts[0] in OWN_PATHS:
        raise ValueError(f"/{parts[0]} is a path of the service itself; choose another prefix")
    return value


def check_origins(value: str) -> str:
    """Check a comma-separated list of origins, or the one word that means all.

    Raises:
        ValueError: one of them is no origin, or `*` is not alone.
    """
    names = [name.strip().lower() for name in value.split(",") if name.strip()]
    if "*" in names and len(names) > 1:
        raise ValueError("* means every origin; write it alone, or the origins without it")
    for name in names:
        if name != "*" and not _ORIGIN.fullmatch(name):
            raise ValueError(
                f"{name!r} is not an origin; write https://app.example.org, with a port but without a path"
            )
    return ",".join(names)


def check_host_names(value: str) -> str:
    """Check a comma-separated list of host names.

    Raises:
        ValueError: one of them is none.
    """
    names = [name.strip().lower() for name in value.split(",") if name.strip()]
    for name in names:
        if not _HOST_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a host name; write pheye.example.org, without scheme, port and path")
    return ",".join(names)


def check_key_file(value: str) -> str:
    """Check the file of keys, if one is named.

    Raises:
        ValueError: it cannot be read, or is wrong.
    """
    if value:
        read_key_file(value, ClientPolicy())
    return value


def check_plain_keys(value: str) -> str:
    """Check the file of plain keys, if one is named.

    Raises:
        ValueError: it cannot be read, or is wrong.
    """
    if value:
        read_plain_keys(value, ClientPolicy())
    return value


def unknown_variable(key: str, known: Collection[str], prefix: str) -> str:
    """Say that a variable is no setting, and which one it resembles, if any.

    The prefix, which all of them have, does not count as a resemblance.

    >>> unknown_variable("PHEYE_SLOT", ["PHEYE_PORT", "PHEYE_SLOTS"], "PHEYE_")
    'PHEYE_SLOT: there is no such setting; the closest is PHEYE_SLOTS'
    """
    name, names = key.upper().removeprefix(prefix), [each.removeprefix(prefix) for each in known]
    near = difflib.get_close_matches(name, names, n=1) if len(name) >= SHORTEST_GUESSED else []
    hint = f"the closest is {prefix}{near[0]}" if near else "`pheye serve --help` names them all"
    return f"{key}: there is no such setting; {hint}"
