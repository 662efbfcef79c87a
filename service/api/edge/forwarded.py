"""The client's address behind trusted reverse proxies, from `X-Forwarded-For`, and the scheme it used.

Owns what counts as an address there and whose word is taken for it. Middleware around all others: they see the client
and not the proxy. Event loop.
"""

from __future__ import annotations

import ipaddress
import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

MOST_HOPS = 32  # entries that are looked at, from the nearest
_SCHEMES = ("http", "https")
_WITH_PORT = re.compile(r"\[([^\]]+)\](?::\d{1,5})?|([\d.]+):\d{1,5}")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def address_in(text: str) -> Address | None:
    """Find the address in an entry of `X-Forwarded-For`, which may have a port; None if there is none.

    IPv4 in IPv6 is IPv4, and an IPv6 address has no scope.

    >>> str(address_in("203.0.113.7:4711")), str(address_in("[2001:db8::1]:443"))
    ('203.0.113.7', '2001:db8::1')
    >>> address_in("unknown") is None
    True
    """
    bare = text.strip().strip('"')
    with_port = _WITH_PORT.fullmatch(bare)
    try:
        address = ipaddress.ip_address((with_port[1] or with_port[2]) if with_port else bare)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return address
    return address.ipv4_mapped or ipaddress.IPv6Address(int(address))


class TrustedProxies:
    """The addresses whose `X-Forwarded-For` is believed.

    Args:
        names: addresses and networks with commas between, as `PHEYE_TRUSTED_PROXIES` has them.

    >>> proxies = TrustedProxies("10.0.0.0/8")
    >>> proxies.client_behind("10.0.0.1", "198.51.100.2, 203.0.113.7:4711, 10.1.1.1")
    '203.0.113.7'
    """

    def __init__(self, names: str) -> None:
        self._networks = [ipaddress.ip_network(name) for name in names.split(",") if name]

    def __contains__(self, host: str) -> bool:
        address = address_in(host) if self._networks else None
        return address is not None and self._has(address)

    def _has(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def client_behind(self, peer: str, forwarded: str) -> str:
        """Return the address of the client for whom a proxy asks.

        Each proxy adds at the end from whom it got the request, so the client is the last one that is no trusted proxy.
        An entry that is no address, such as `unknown`, ends the search with the one behind it: whatever stands before
        it came from somebody whom no proxy has named, and who may have made it up.

        Args:
            peer: address of the proxy that has connected, a trusted one.
            forwarded: all of its `X-Forwarded-For`.
        """
        client = peer
        for entry in reversed(forwarded.rsplit(",", MOST_HOPS)[-MOST_HOPS:]):
            if not entry.strip():
                continue
            address = address_in(entry)
            if address is None:
                break
            client = str(address)
            if not self._has(address):
                break
        return client


class ForwardedHeaders:
    """ASGI middleware that puts the client and its scheme in the place of a trusted proxy's."""

    def __init__(self, app: ASGIApp, proxies: TrustedProxies) -> None:
        """Wrap `app`; only `proxies` are believed."""
        self._app, self._proxies = app, proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Correct the scope of a request that a trusted proxy sends."""
        peer = (scope.get("client") or ("",))[0]
        if scope["type"] == "http" and peer in self._proxies:
            headers = Headers(scope=scope)
            scope["client"] = (self._proxies.client_behind(peer, ",".join(headers.getlist("x-forwarded-for"))), 0)
            scheme = headers.get("x-forwarded-proto", "").strip().lower()
            if scheme in _SCHEMES:
                scope["scheme"] = scheme
        await self._app(scope, receive, send)
