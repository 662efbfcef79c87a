"""Writing of answers as bytes: at once, or, with what is large in them, in threads and sent in pieces.

A large answer holds the event loop up for no longer than a small one. Event loop; explanations are written in threads
that clients share fairly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from starlette.types import Message, Send

from service.api.encoding import Body, Extended, StreamItem
from service.api.fair_threads import FairThreads
from service.dispatch.reservation import Reservation

PIECE_BYTES = 1 << 18  # sent at once; the transport copies what the client does not take

T = TypeVar("T")


async def written(
    threads: FairThreads, reservation: Reservation, item: Body | str, form: Callable[[StreamItem], T]
) -> T:
    """Write an answer, or an event of it, in the form that `form` gives to a model or to its JSON.

    Raises:
        DeadlineExceeded: the reservation's time is over.
    """
    if not isinstance(item, Extended):
        return form(item)
    run = partial(threads.run, reservation.flow.client)
    try:
        async with asyncio.timeout(reservation.left_s):
            values = [await run(write) for write in item.write]
            return await run(lambda: form(item.joined(values)))
    except TimeoutError:
        raise reservation.expired() from None


def in_pieces(send: Send) -> Send:
    """Return an ASGI `send` that sends a large body in pieces, each when the client has taken those before."""

    async def send_pieces(message: Message) -> None:
        body = message.get("body", b"")
        last = max(0, len(body) - 1) // PIECE_BYTES * PIECE_BYTES
        for start in range(0, last, PIECE_BYTES):
            await send({**message, "body": body[start : start + PIECE_BYTES], "more_body": True})
        await send({**message, "body": body[last:]} if last else message)

    return send_pieces
