"""Client disconnects: notice that a client has gone while the service works for it.

Knows nothing but ASGI's `receive` and `send`: after the body was read, the only message left is the disconnect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Send

T = TypeVar("T")
SEND_TIMEOUT_S = 30.0  # a client that takes no byte for so long is gone


async def unless_hung_up(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of `work`, which is cancelled when the client hangs up first.

    Raises:
        ClientDisconnect: the client hung up.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_hang_up(receive))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _hang_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def send_promptly(send: Send, message: Message) -> None:
    """Send a message, but give up on a client that has stopped reading.

    Raises:
        ClientDisconnect: nothing was taken for `SEND_TIMEOUT_S`.
    """
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await send(message)
    except TimeoutError:
        raise ClientDisconnect from None
