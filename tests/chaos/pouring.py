"""Requests sent at a constant rate, whether or not any is answered: an open loop over plain sockets.

Speaks HTTP/1.1 itself. A client library needs more of the processor for a request than the server does for refusing
it, so under overload its requests would reach the server seconds after their connections, and be closed for that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

BEHIND_S = 0.1  # what was not sent in time is caught up this far; more would come as a burst


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An answer as it came, its body whole."""

    status: int
    headers: dict[str, str]
    body: bytes


async def ticks(rate: float, seconds: float) -> AsyncIterator[None]:
    """Yield `rate` times a second, and fewer times if the caller is slower than that."""
    started_s = due_s = time.monotonic()
    while (now_s := time.monotonic()) < started_s + seconds:
        if due_s > now_s:
            await asyncio.sleep(due_s - now_s)
            continue
        due_s = max(due_s, now_s - BEHIND_S) + 1.0 / rate
        yield


async def post_once(url: str, path: str, body: bytes, headers: dict[str, str]) -> RawAnswer:
    """Send a JSON body on a connection of its own and return the whole answer.

    Raises:
        OSError: the connection was refused or reset.
        EOFError: it ended before the answer did.
    """
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        fields = {"Host": address.netloc, "Content-Type": "application/json", "Content-Length": str(len(body))}
        lines = [f"{name}: {value}\r\n" for name, value in {**fields, "Connection": "close", **headers}.items()]
        writer.write(f"POST {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + body)
        return await _read(reader)
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader) -> RawAnswer:
    first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    if "chunked" in headers.get("transfer-encoding", ""):
        body = b"".join([chunk async for chunk in _chunks(reader)])
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return RawAnswer(int(first.split(" ", 2)[1]), headers, body)


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int(await reader.readuntil(b"\r\n"), 16):
        yield (await reader.readexactly(size + 2))[:-2]
