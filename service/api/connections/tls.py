"""TLS of accepted connections, with a certificate that is read again when its files change.

The handshake is a part of a connection's life, not something before it: a connection in its handshake is counted, may
be evicted, and has the time of a request head. Event loop; files are read in a thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl

from service.configuration.settings import Settings
from service.configuration.tls_files import tls_context
from service.upkeep import keep_up

LOOK_S = 10.0  # certificates are renewed days before they end
GOODBYE_S = 5.0  # for a peer to answer the end of the session

FilesState = tuple[tuple[int, ...], ...]  # of each file

logger = logging.getLogger("pheye.tls")


class ServerTls:
    """The certificate of the settings; `context` is for handshakes that begin now."""

    def __init__(self, settings: Settings) -> None:
        """Read the certificate and its key from the files that the settings name.

        Raises:
            ValueError: they have become wrong since the settings were checked.
        """
        self._files = (settings.tls_cert_file, settings.tls_key_file)
        self._served = self._state()  # of the files that `context` was read from
        self._refused: tuple[FilesState, str] | None = None  # what was logged last, until a certificate is read
        self.context = tls_context(*self._files)
        self._handshake_s = settings.head_timeout_s

    async def upgrade(self, transport: asyncio.Transport, protocol: asyncio.Protocol) -> asyncio.Transport | None:
        """Shake hands with a new peer; None if that fails, and the connection is closed then."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.start_tls(
                transport, protocol, self.context, server_side=True, ssl_handshake_timeout=self._handshake_s,
                ssl_shutdown_timeout=GOODBYE_S,
            )  # fmt: skip
        except (OSError, ssl.SSLError) as error:  # whatever a stranger may send
            logger.debug("no TLS: %s", error)
            return None

    async def watch(self) -> None:
        """Read the files again when they change, until cancelled; what does not fit yet is tried again."""
        await keep_up("the watch of the certificate", self._watch)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self._look()

    async def _look(self) -> None:
        state = await asyncio.to_thread(self._state)
        if state == self._served:
            return
        try:
            self.context = await asyncio.to_thread(tls_context, *self._files)
        except (ValueError, OSError) as error:
            refused = (state, str(error))
            if refused != self._refused:
                logger.error("the certificate stays as it was: %s", error)
            self._refused = refused
            return
        self._served, self._refused = state, None
        logger.info("certificate read again from %s", self._files[0])

    def _state(self) -> FilesState:
        return tuple(_state_of(path) for path in self._files)


def _state_of(path: str) -> tuple[int, ...]:
    """Tell a file from one that was changed or put in its place, even where that has its time; empty if there is none.

    The time of the last change of its inode is that of a new owner or mode too, which may make it readable.
    """
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino
