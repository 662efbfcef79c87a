"""Start of the folder of uploaded images: it is tried once, before anything is served, and not without end."""

from __future__ import annotations

import logging
import queue
import threading

from service.api.image_folder.folder import ImageFolder, ImageFolderError
from service.api.image_folder.housekeeping import FolderUsage
from service.configuration.settings import Settings, SettingsError

START_S = 30.0

logger = logging.getLogger("pheye.images")


def open_folder(settings: Settings, limit_s: float = START_S) -> ImageFolder | None:
    """Open the folder that the settings name, if they name one.

    Raises:
        SettingsError: it cannot be used, or does not answer.
    """
    if settings.image_folder is None:
        return None
    folder = ImageFolder(settings.image_folder, settings.image_folder_bytes, settings.image_ttl_s)
    outcome: queue.SimpleQueue[ImageFolderError | FolderUsage] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put(folder.open())
        except ImageFolderError as error:
            outcome.put(error)

    try:
        # A daemon, because a network file system that hangs must not keep the process from ending.
        threading.Thread(target=run, name="pheye-image-folder", daemon=True).start()
        found = outcome.get(timeout=limit_s)
    except queue.Empty:
        found = ImageFolderError(f"{settings.image_folder} has not answered for {limit_s:.0f} s; is it mounted?")
    except RuntimeError as error:  # the system gives no more threads
        found = ImageFolderError(f"{settings.image_folder} cannot be looked at: {error}")
    if isinstance(found, ImageFolderError):
        raise SettingsError(f"PHEYE_IMAGE_FOLDER: {found}")
    logger.info(
        "uploaded images are shared in %s: %d of them, %.1f MB",
        folder.place.absolute(),
        found.images,
        found.size_bytes / 1e6,
    )
    return folder
