"""Look-ups of host names, each in a thread of its own, since the system's resolver cannot be told to stop.

A name whose servers never answer holds its thread for half a minute, whoever still waits. So a look-up counts against
its client until it has really ended. Event loop; the threads do nothing but look up.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from service.configuration.image_hosts import Address
from service.fetching.fair_slots import FairSlots

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]


async def resolve(name: str, port: int, ended: Callable[[], None] = lambda: None) -> Sequence[Address]:
    """Look up the addresses of a name.

    Args:
        name: in ASCII.
        port: of a service there; some resolvers want to know.
        ended: called in the event loop's thread when the look-up has ended, which may be long after its caller.

    Raises:
        OSError: there are none, or the system gives no thread to look them up in.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Sequence[Address]] = loop.create_future()

    def settle(found: Sequence[Address] | OSError) -> None:
        ended()
        if answer.done():
            return
        if isinstance(found, OSError):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    def look_up() -> None:
        found = _addresses(name, port)
        with suppress(RuntimeError):  # the event loop has ended
            loop.call_soon_threadsafe(settle, found)

    try:
        # Not of an executor: the interpreter would wait at its end for whatever is still being looked up.
        threading.Thread(target=look_up, name="pheye-dns", daemon=True).start()
    except RuntimeError as error:  # the system gives no more threads
        ended()
        raise OSError(str(error)) from None
    return await answer


def _addresses(name: str, port: int) -> Sequence[Address] | OSError:
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        return tuple(dict.fromkeys(ipaddress.ip_address(each[4][0]) for each in found))
    except OSError as error:
        return error
    except Exception as error:  # of names that Python itself refuses; whatever else it is, the look-up has ended
        return OSError(str(error))


class SharedResolver:
    """A resolver with a bound on look-ups, shared fairly between clients."""

    def __init__(self, most: int) -> None:
        self._slots = FairSlots(most)

    async def resolve(self, client: str, name: str, port: int) -> Sequence[Address]:
        """Look up the addresses of a name for a client.

        Raises:
            OSError: as `resolve` says.
        """
        await self._slots.take(client)
        return await resolve(name, port, ended=lambda: self._slots.give_back(client))
