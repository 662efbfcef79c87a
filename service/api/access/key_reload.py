"""Reload of the files of API keys: they are looked at once a second, and read again when they have changed.

By content and not by the kernel's notifications, so it works for files that are replaced, and for secrets that
Kubernetes mounts by links. A file that is wrong changes nothing: the keys before it go on. Event loop; files are read
in a thread.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from service.configuration.key_files import MOST_BYTES, KeyEntry
from service.configuration.settings import Settings, accepted_keys
from service.metrics.service_metrics import Metrics

LOOK_S = 1.0  # how late a removed key is refused

logger = logging.getLogger("pheye.keys")

Replace = Callable[[Mapping[str, KeyEntry]], None]


class KeyReload:
    """The key files of the settings, and what they held when they were read last.

    Attributes:
        keys: all keys that are accepted, by their digest.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        """Read the keys of all files for the first time.

        Raises:
            ValueError: a file is wrong.
        """
        self._settings, self._metrics = settings, metrics
        self._files = [path for path in (settings.api_keys_file, settings.keys_file) if path]
        self._seen = self._content()
        self._refused = ""  # why the files are not accepted as they are
        self.keys: Mapping[str, KeyEntry] = accepted_keys(settings)
        metrics.keys_file_valid.set(1)

    async def watch(self, replace: Replace) -> None:
        """Look at the files until cancelled, and tell of other keys; return at once if there are no files.

        Raises:
            RuntimeError: there is no thread left to look in, as one reason of many. Until a later look the metric says
                that the keys may be old.
        """
        while self._files:
            await asyncio.sleep(LOOK_S)
            try:
                await self._look(replace)
            except Exception:
                self._metrics.keys_file_valid.set(0)
                raise

    async def _look(self, replace: Replace) -> None:
        content = await asyncio.to_thread(self._content)
        if content != self._seen:
            await self._read(content, replace)
        self._metrics.keys_file_valid.set(not self._refused)

    async def _read(self, content: tuple[str, ...], replace: Replace) -> None:
        try:
            keys = await asyncio.to_thread(accepted_keys, self._settings)
            replace(keys)
        except ValueError as error:
            self._refuse(content, error)
            return
        logger.info("keys read again: %s", _changes(self.keys, keys))
        self.keys, self._seen, self._refused = keys, content, ""

    def _refuse(self, content: tuple[str, ...], error: ValueError) -> None:
        """Note why the files are not accepted; one that could not be read is tried again, without more lines."""
        is_unread = isinstance(error.__cause__, OSError)
        if not (is_unread and str(error) == self._refused):
            logger.error("the keys stay as they were, %d of them: %s", len(self.keys), error)
        self._refused = str(error)
        self._seen = () if is_unread else content

    def _content(self) -> tuple[str, ...]:
        """Say what the files hold: a digest of each, or why it cannot be read."""
        return tuple(map(_digest, self._files))


def _digest(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return hashlib.sha256(file.read(MOST_BYTES + 1)).hexdigest()
    except OSError as error:
        return str(error)


def _changes(before: Mapping[str, KeyEntry], now: Mapping[str, KeyEntry]) -> str:
    """Tell what has changed, by the keys' names.

    >>> from service.configuration.client_policy import ClientPolicy
    >>> old, new = (KeyEntry(name, name, None, ClientPolicy()) for name in ("old", "new"))
    >>> _changes({"1": old}, {"2": new})
    "1 are accepted; added 'new'; removed 'old'"
    """
    groups = {
        "added": [entry for digest, entry in now.items() if digest not in before],
        "removed": [entry for digest, entry in before.items() if digest not in now],
        "changed": [entry for digest, entry in now.items() if before.get(digest, entry) != entry],
    }
    told = [f"{word} {', '.join(_shown(each) for each in entries)}" for word, entries in groups.items() if entries]
    return "; ".join([f"{len(now)} are accepted", *told])


def _shown(entry: KeyEntry) -> str:
    return repr(entry.name) if entry.name else "one without a name"
