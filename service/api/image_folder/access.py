"""Access to the folder of uploaded images from the event loop: in threads, in time, with words for what goes wrong.

Owns what clients are told when the folder fails, and what is counted and logged then. Event loop.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from service.api.image_folder.bounded_threads import BoundedThreads
from service.api.image_folder.image_file import DamagedFile, OtherGeometry
from service.errors import ImagesUnreachable, NotFound
from service.metrics.service_metrics import Metrics

THREADS = 8  # file operations at a time
LIMIT_S = 5.0  # for one of them, waiting for a thread included
QUIET_S = 60.0  # between two log lines about failures

AGAIN = "upload it again with POST /v1/images"
INSTEAD = "send the image with the request itself, or try again later"
DAMAGED = f"image: the file of this image was damaged; {AGAIN}"
OTHER_MODEL = f"image: it was uploaded for a model with other tiles than the one served here; {AGAIN}"
FULL = f"image: the disk of uploaded images is full; {INSTEAD}"
FAILED = f"image: the folder of uploaded images cannot be used now; {INSTEAD}"
SLOW = f"image: the folder of uploaded images does not answer; {INSTEAD}"

_FULL = (errno.ENOSPC, errno.EDQUOT)

logger = logging.getLogger("pheye.images")

T = TypeVar("T")


class FolderAccess:
    """Threads in which the folder is used.

    Args:
        place: where it is, for the log; None without one.
        metrics: what counts its failures.
        limit_s: how long a request waits for it.
    """

    def __init__(self, place: Path | None, metrics: Metrics, limit_s: float) -> None:
        self._place = place
        self._metrics = metrics
        self._threads = BoundedThreads(THREADS, limit_s)
        self._told: dict[str, float] = {}  # when each reason was last logged

    async def run(self, work: Callable[[], T]) -> T:
        """Do something with the folder for nobody, however long it takes.

        Raises:
            OSError: the folder fails.
        """
        return await self._threads.run("", work, limited=False)

    async def reach(self, client: str, work: Callable[[], T]) -> T:
        """Do something with the folder, for a client.

        Raises:
            NotFound: the file is damaged, or of another model.
            ImagesUnreachable: the folder fails.
        """
        try:
            return await self._threads.run(client, work)
        except TimeoutError:
            self.count("slow", "no answer in time")
            raise ImagesUnreachable(SLOW) from None
        except OSError as error:
            self.count("failed", error.strerror or str(error))
            raise ImagesUnreachable(FULL if error.errno in _FULL else FAILED) from None
        except DamagedFile as error:
            self.count("damaged", str(error))
            raise NotFound(DAMAGED) from None
        except OtherGeometry:
            raise NotFound(OTHER_MODEL) from None

    def count(self, reason: str, words: str) -> None:
        """Count a failure, and log it unless the same was logged within the last minute: a full disk fails often.

        Args:
            reason: its label in the metrics.
            words: what went wrong; of a damaged file, which it is, so the reason alone is the same.
        """
        self._metrics.image_folder_errors.labels(reason).inc()
        now_s, same = time.monotonic(), reason if reason == "damaged" else words
        self._told = {each: told_s for each, told_s in self._told.items() if now_s - told_s < QUIET_S}
        if same not in self._told:
            self._told[same] = now_s
            logger.warning("PHEYE_IMAGE_FOLDER: %s: %s", self._place, words)
