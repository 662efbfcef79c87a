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

LOOK_S = 10.0  # certificates are renewed days before they end
GOODBYE_S = 5.0  # for a peer to answer the end of the session

logger = logging.getLogger("pheye.tls")


class ServerTls:
    """The certificate of the settings; `context` is for handshakes that begin now."""

    def __init__(self, settings: Settings) -> None:
        """Read the files.

        Raises:
            ValueError: they have become wrong since the settings were checked.
        """
        self._files = (settings.tls_cert_file, settings.tls_key_file)
        self._seen = self._times()
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
        while True:
            await asyncio.sleep(LOOK_S)
            times = await asyncio.to_thread(self._times)
            if times == self._seen:
                continue
            self._seen = times
            try:
                self.context = await asyncio.to_thread(tls_context, *self._files)
                logger.info("certificate read again from %s", self._files[0])
            except ValueError as error:
                logger.error("the certificate stays as it was: %s", error)

    def _times(self) -> tuple[int, ...]:
        return tuple(_time_of(path) for path in self._files)


def _time_of(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
