"""One image fetched by its URL: the request, its redirects, and the bounds on what comes back.

Owns every bound but that on how many are fetched at a time. What comes is judged by its first bytes, never by what its
host calls it, and is not decoded here. Event loop.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import httpcore

from service.configuration.image_hosts import HostRules
from service.errors import FetchFailed
from service.fetching.connection import MeteredStream, connect
from service.fetching.resolver import Resolve, resolve
from service.fetching.urls import ImageLink
from service.images import MAGIC_BYTES, starts_like_image

MOST_REDIRECTS = 5
SLACK_BYTES = 64 * 1024  # that may come beside the image, and a quarter of what has come of it
REDIRECTS = (301, 302, 303, 307, 308)
SMALL_CHUNK_BYTES = 512
USER_AGENT = f"pheye/{version('pheye-service')}"


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Bounds on fetching one image, redirects included."""

    max_bytes: int
    timeout_s: float
    redirects: int = MOST_REDIRECTS


def _no_memory_is_counted(_: int) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Fetch:
    """One image to be fetched.

    Attributes:
        rules: which hosts are asked.
        limits: what it may take.
        tls: whose certificates are believed.
        resolve: names to addresses.
        hold: called with the bytes that are about to be held; may refuse.
    """

    rules: HostRules
    limits: FetchLimits
    tls: ssl.SSLContext
    resolve: Resolve = resolve
    hold: Callable[[int], None] = _no_memory_is_counted

    async def image(self, link: ImageLink) -> bytes:
        """Fetch an image file; cancelling closes the connection.

        Raises:
            FetchFailed: whatever is wrong with the URL, its host or what came from there.
            ServiceError: as `hold` says.
        """
        asked = link
        try:
            async with asyncio.timeout(self.limits.timeout_s):
                for _ in range(1 + self.limits.redirects):
                    answer = await self._ask(asked)
                    if isinstance(answer, bytes):
                        return answer
                    asked = answer
        except TimeoutError:
            raise FetchFailed.at(
                str(asked.host), f"it did not send the image within {self.limits.timeout_s:g} s", "timeout"
            ) from None
        raise FetchFailed.at(str(asked.host), f"more than {self.limits.redirects} redirects", "failed")

    async def _ask(self, link: ImageLink) -> bytes | ImageLink:
        """Ask one host for the image, which it may have elsewhere."""
        stream = await connect(link, self.rules, self.resolve, self.tls)
        origin, url, headers = _request(link)
        try:
            async with (
                httpcore.AsyncHTTP11Connection(origin, stream) as connection,
                connection.stream("GET", url, headers=headers) as response,
            ):
                stream.answered = True
                if response.status in REDIRECTS and (location := _header(response, b"location")):
                    return link.followed(location)
                self._check_head(link, response)
                return await self._body(link, response, stream)
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError):  # an OSError of a TLS record that is broken
            raise FetchFailed.at(str(link.host), "its answer broke off, or is not what HTTP allows", "failed") from None

    def _check_head(self, link: ImageLink, response: httpcore.Response) -> None:
        host = str(link.host)
        if response.status != 200:
            raise FetchFailed.at(host, f"it answered {response.status} instead of an image", "failed")
        if _header(response, b"content-encoding").lower() not in ("", "identity"):
            raise FetchFailed.at(host, "it sent the image in an encoding that was not asked for", "failed")
        length = _header(response, b"content-length")
        if length.isdecimal():
            if int(length[:20]) > self.limits.max_bytes:
                raise self._too_large(host)
            self.hold(int(length))  # before any of it is read

    async def _body(self, link: ImageLink, response: httpcore.Response, stream: MeteredStream) -> bytes:
        host, file = str(link.host), bytearray()
        async for chunk in response.aiter_stream():
            if len(file) + len(chunk) > self.limits.max_bytes:
                raise self._too_large(host)
            known = len(file) >= MAGIC_BYTES
            self.hold(len(file) + len(chunk))
            file += chunk
            if not known and len(file) >= MAGIC_BYTES:
                _check_start(host, file)
            if stream.received_bytes > SLACK_BYTES + len(file) + len(file) // 4:
                raise FetchFailed.at(host, "it wraps the image in too many pieces", "failed")
            if len(chunk) < SMALL_CHUNK_BYTES:
                await asyncio.sleep(0)  # of many such, each is little work
        _check_start(host, file)
        return bytes(file)

    def _too_large(self, host: str) -> FetchFailed:
        words = f"the image has more than the {self.limits.max_bytes} bytes allowed"
        return FetchFailed.at(host, words, "too_large")


def _check_start(host: str, file: bytearray) -> None:
    if not file:
        raise FetchFailed.at(host, "it sent nothing", "no_image")
    if not starts_like_image(bytes(file[:MAGIC_BYTES])):
        raise FetchFailed.at(host, "what it sent is no image of a format that is read here", "no_image")


def _request(link: ImageLink) -> tuple[httpcore.Origin, httpcore.URL, list[tuple[str, str]]]:
    scheme, host = link.scheme.encode(), str(link.host).encode()
    headers = [
        ("Host", link.authority),
        ("Accept", "image/*"),
        ("Accept-Encoding", "identity"),  # what is compressed could be a bomb
        ("Connection", "close"),
        ("User-Agent", USER_AGENT),
    ]
    url = httpcore.URL(scheme=scheme, host=host, port=link.port, target=link.target.encode())
    return httpcore.Origin(scheme, host, link.port), url, headers


def _header(response: httpcore.Response, name: bytes) -> str:
    for key, value in response.headers:
        if key.lower() == name:
            return value.decode("utf-8", "replace").strip()
    return ""
