"""Pages in browsers that must not use a service on their user's machine or network: checks of Host and Origin.

A page may give its own name the address of a private service (DNS rebinding); its requests then carry that name as
their Host. So a name counts only if it is known, while nobody can rebind an address. Knows no route. Pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from service.errors import OriginRefused

LOCAL = ("localhost",)


def check_origin(headers: Headers, hosts: Collection[str], origins: Collection[str]) -> None:
    """Check that a request comes from no foreign page.

    Args:
        headers: of the request.
        hosts: names by which clients reach the service.
        origins: pages that may call it; `*` is any.

    Raises:
        OriginRefused: its Host is a name that is not known, or its Origin is another site.
    """
    host = headers.get("host", "").lower()
    name = _name_of(host)
    if not name or not (_is_address(name) or name in LOCAL or name in hosts):
        raise OriginRefused(
            f"host: {name[:100]!r} is no name of this service (DNS rebinding?); if it is, list it in PHEYE_MCP_HOSTS"
        )
    origin = headers.get("origin", "").lower()
    if origin and origin.partition("://")[2] != host and "*" not in origins and origin not in origins:
        raise OriginRefused(
            f"origin: pages of {origin[:100]!r} may not call this; if they may, list it in PHEYE_CORS_ORIGINS"
        )


def _name_of(host: str) -> str:
    """Return the name in a Host header, without its port; empty if there is none.

    >>> _name_of("[::1]:8000"), _name_of("example.org:80"), _name_of("a:b:c")
    ('::1', 'example.org', '')
    """
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises for a port that is no number
        return parts.hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
