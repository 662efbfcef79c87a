"""The Hugging Face hub as seen from here: whether it answers, and whether its cache has a repository.

Bounded: the hub's own library would try again for half a minute and write a line each time. Knows no checkpoint. May be
called from any thread.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

REACH_S = 3.0
_PORTS = {"https": 443, "http": 80}


def unreachable(timeout_s: float = REACH_S) -> str | None:
    """Say why the hub cannot be asked, or None if something answers there, or at the proxy in front of it."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    host, port = _next_hop(constants.ENDPOINT)
    refused = [f"{host} did not answer within {timeout_s:g} s"]

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout_s).close()
            refused.clear()
        except OSError as error:
            refused[:] = [f"{host}: {error.strerror or error}"]

    thread = Thread(target=connect, daemon=True)  # a name may be looked up for longer than anybody waits
    thread.start()
    thread.join(timeout_s)
    return refused[0] if refused else None


def _next_hop(endpoint: str) -> tuple[str, int]:
    """Return host and port to which a request for the hub goes."""
    parts = urlsplit(endpoint)
    host = parts.hostname or endpoint.rpartition("@")[2]  # before it there may be a password
    proxy = None if proxy_bypass(host) else getproxies().get(parts.scheme)
    hop = urlsplit(proxy if "://" in proxy else f"http://{proxy}") if proxy else parts
    return hop.hostname or host, hop.port or _PORTS.get(hop.scheme, 443)


def is_cached(repository: str, revision: str | None = None) -> bool:
    """Say whether the hub's cache has the configuration of a repository, in this revision."""
    return cached_folder(repository, revision) is not None


def cached_folder(repository: str, revision: str | None = None) -> Path | None:
    """Return the folder of a repository in the hub's cache, where it has at least its configuration."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(repository, "config.json", revision=revision)
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None  # else it is known to have none


def cache_folder() -> str:
    """Return the folder in which the hub's library keeps what it has fetched."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return os.path.expanduser(HF_HUB_CACHE)


def without_hub(repository: str, reason: str) -> str:
    """Say what can be done about a repository that is not in the cache while the hub cannot be asked."""
    offline = "unset it to fetch it, or " if reason.startswith("HF_HUB_OFFLINE") else ""
    return (
        f"{repository}: there is no such folder, it is not in the hub's cache {cache_folder()}, and the hub cannot be "
        f"asked ({reason}); "
        f"{offline}name a folder that holds the checkpoint, or copy a cache from a machine that has fetched it and "
        "point HF_HOME at it (with HF_HUB_OFFLINE=1 nothing is looked up)"
    )
