"""Connections to the hosts of images: to an address that was checked, and metered as a stranger's answer must be.

A name is resolved once, every address that it has is checked, and one of those is connected to: a name that has another
address a moment later (DNS rebinding) gains nothing. `Host` and TLS know the name. Event loop.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any

import httpcore

from service.configuration.image_hosts import Address, HostRules
from service.errors import FetchFailed
from service.fetching.resolver import Resolve
from service.fetching.urls import ImageLink

CONNECT_S = 5.0  # with one address
MOST_ADDRESSES = 8  # that are tried, of those a name has
READ_BYTES = 16 * 1024  # at once; what is parsed of it, is parsed without a pause of the event loop
HEAD_BYTES = 16 * 1024  # of an answer, with whatever is said before it
SMALL_BYTES = 1024
PAUSE_S = 0.002  # after a read of less than that
_UNREACHABLE = (httpcore.ConnectError, httpcore.ConnectTimeout)


class MeteredStream(httpcore.AsyncNetworkStream):
    """A connection that counts what comes, and reads no more of it at once than can be parsed in a moment.

    Attributes:
        received_bytes: how much has come.
        answered: whether the head of the answer is complete; before that, little may come.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self.received_bytes = 0
        self.answered = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's own
        """Read what has come.

        Raises:
            RemoteProtocolError: the head of the answer is too long.
        """
        if not self.answered and self.received_bytes >= HEAD_BYTES:
            raise httpcore.RemoteProtocolError("the head of the answer is too long")
        data = await self._stream.read(min(max_bytes, READ_BYTES), timeout)
        self.received_bytes += len(data)
        # Who sends byte by byte must not keep the event loop busy: the next read finds more.
        await asyncio.sleep(PAUSE_S if 0 < len(data) < SMALL_BYTES else 0)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's own
        """Send bytes to the host."""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        """Tell about the connection below."""
        return self._stream.get_extra_info(info)


async def connect(link: ImageLink, rules: HostRules, resolve: Resolve, tls: ssl.SSLContext) -> MeteredStream:
    """Connect to the host of an image, at an address that is allowed.

    Raises:
        FetchFailed: the host, its port or one of its addresses is not allowed, or there is no connection.
    """
    check_host(link, rules)
    addresses = [link.host] if not isinstance(link.host, str) else await _resolved(link.host, link.port, resolve)
    for address in addresses:
        if not rules.allow_address(address, link.port, link.host):
            raise FetchFailed.at(
                str(link.host),
                "it resolves to an address that is not public; have PHEYE_IMAGE_HOSTS list that address or its network "
                "too",
            )
    stream = await _first_connection(link, addresses[:MOST_ADDRESSES])
    if link.scheme == "http":
        return MeteredStream(stream)
    try:
        return MeteredStream(await stream.start_tls(tls, server_hostname=str(link.host), timeout=CONNECT_S))
    except (*_UNREACHABLE, OSError, ValueError):  # a ValueError of a name that TLS cannot carry
        await stream.aclose()
        raise FetchFailed.at(
            str(link.host), "no TLS connection, or not with its own certificate", "unreachable"
        ) from None
    except BaseException:
        await stream.aclose()
        raise


def check_host(link: ImageLink, rules: HostRules) -> None:
    """Check the host and the port of a URL against the list.

    Raises:
        FetchFailed: one of them is not on it.
    """
    host = str(link.host)
    if not rules:
        raise FetchFailed.at(
            host, "images are not fetched here; send the image, or have PHEYE_IMAGE_HOSTS list the host"
        )
    if not rules.allow_host(link.host):
        raise FetchFailed.at(host, "this host is not allowed; PHEYE_IMAGE_HOSTS lists those that are")
    if not rules.allow_port(link.host, link.port):
        raise FetchFailed.at(host, f"port {link.port} is not allowed; PHEYE_IMAGE_HOSTS lists other ports as HOST:PORT")


async def _resolved(name: str, port: int, resolve: Resolve) -> Sequence[Address]:
    try:
        addresses = await resolve(name, port)
    except OSError:
        addresses = ()
    if not addresses:
        raise FetchFailed.at(name, "there is no such host, or its name cannot be resolved now", "unreachable")
    return addresses


async def _first_connection(link: ImageLink, addresses: Sequence[Address]) -> httpcore.AsyncNetworkStream:
    network = httpcore.AnyIOBackend()
    for address in addresses:
        try:
            return await network.connect_tcp(str(address), link.port, timeout=CONNECT_S)
        except _UNREACHABLE:
            continue
    raise FetchFailed.at(str(link.host), f"no connection to port {link.port}", "unreachable")
