"""Uploaded images as routes use them: in memory, and where there is a folder that servers share, behind that memory.

Owns which of the two is asked: the folder says whether an image is there and how old it is, at every use; the memory
spares reading it. Knows no HTTP. Event loop; files are read and written in threads that nobody waits for without end.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from model.pixels.tiles import ImageFacts, ImageKey, TiledImage
from service.api.image_folder.access import LIMIT_S, FolderAccess
from service.api.image_folder.folder import ImageFolder
from service.api.image_folder.image_file import ImageHead, TileGeometry
from service.api.image_store import NOT_THERE, PREFIX, ImageStore, StoredImage
from service.api.request_context import RequestContext
from service.errors import NotFound
from service.metrics.service_metrics import Metrics
from service.upkeep import keep_up

SWEEP_S = 1.0  # how late an expired image may leave the memory
TIDY_S = 30.0  # between two counts of the folder, at most
TIDY_SHARE = 0.1  # of the time, at most, is spent on counting

NO_ROOM = (
    "uploaded images are off: PHEYE_IMAGE_FOLDER_BYTES leaves no room for an image; send the image with each request"
)
_ID = re.compile(re.escape(PREFIX) + "([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class UploadedImage:
    """Everything about an uploaded image but its tiles."""

    image_key: ImageKey
    width_px: int
    height_px: int
    facts: ImageFacts
    held_bytes: int
    expires_in_s: float

    @property
    def id(self) -> str:
        """The id by which its owner names it."""
        return PREFIX + self.image_key

    @classmethod
    def of(cls, image: TiledImage, expires_in_s: float) -> UploadedImage:
        """Describe an image that was uploaded."""
        return cls(image.image_key, image.width_px, image.height_px, image.facts, image.tiles.nbytes, expires_in_s)

    @classmethod
    def of_file(cls, head: ImageHead, left_s: float) -> UploadedImage:
        """Describe the image in a file."""
        held_bytes = head.geometry.size_bytes
        return cls(ImageKey(head.image_key), head.width_px, head.height_px, head.facts, held_bytes, left_s)


class UploadedImages:
    """Uploaded images of all owners.

    Args:
        memory: what is kept in this process; all there is, without a folder.
        folder: what servers share; opened.
        metrics: what counts the folder's failures.
        geometry: tells the served model's tiles; may raise `Unavailable`.
        forget_features: called with an image that was deleted elsewhere and that nobody has any more.
        limit_s: how long a request waits for the folder.
    """

    def __init__(
        self,
        memory: ImageStore,
        folder: ImageFolder | None,
        metrics: Metrics,
        geometry: Callable[[], TileGeometry],
        forget_features: Callable[[ImageKey], None],
        limit_s: float = LIMIT_S,
    ) -> None:
        self._memory = memory
        self._folder = folder
        self._metrics = metrics
        self._geometry = geometry
        self._forget_features = forget_features
        self._access = FolderAccess(folder.place if folder else None, metrics, limit_s)
        self._gone: set[ImageKey] = set()  # were here and were deleted elsewhere, or made room
        self._due = asyncio.Event()

    def check_room(self, image_bytes: int) -> None:
        """Refuse an image that is larger than the whole store, before it is decoded.

        Raises:
            NotFound: uploads are off, or there is no room for even one image of this size.
        """
        self._memory.check_room(image_bytes)
        if self._folder is not None and not self._folder.fits(image_bytes):
            raise NotFound(NO_ROOM)

    async def put(self, asked: RequestContext, image: TiledImage) -> UploadedImage:
        """Keep an image, or begin its age anew. Once this returns, every server that shares the folder has it.

        Raises:
            NotFound: the bound leaves no room for it.
            ImagesUnreachable: the folder fails.
        """
        left_s = None
        if self._folder is not None:
            left_s = (await self._access.reach(asked.client, partial(self._folder.write, asked.owner, image))).left_s
            if self._folder.wants_tidying:
                self._due.set()
        return self._described(self._memory.put(asked.owner, image, left_s))

    async def use(self, asked: RequestContext, image_id: str) -> TiledImage:
        """Look up an image to be asked about, and mark it as the most recently used.

        Raises:
            NotFound: unknown, expired or another's, which all look the same; or damaged, or of another model.
            ImagesUnreachable: the folder fails.
        """
        owner = asked.owner
        if self._folder is None:
            return self._memory.use(owner, image_id)
        key = _key_of(image_id)
        look_up = partial(self._folder.use, owner, key, self._geometry())
        while True:
            is_here = self._memory.has(owner, image_id)
            found = await self._access.reach(asked.client, partial(look_up, read=not is_here))
            if found is None:
                self._drop(owner, image_id)
                raise NotFound(NOT_THERE)
            if found.image is not None:
                with suppress(NotFound):  # a memory that is too small for it
                    self._memory.put(owner, found.image, found.left_s)
                return found.image
            with suppress(NotFound):  # it has just made room for another
                return self._memory.use(owner, image_id)

    async def find(self, asked: RequestContext, image_id: str) -> UploadedImage:
        """Describe one of the owner's images; this does not count as use.

        Raises:
            NotFound: as `use` says.
            ImagesUnreachable: the folder fails.
        """
        if self._folder is None:
            return self._described(self._memory.find(asked.owner, image_id))
        look_up = partial(self._folder.describe, asked.owner, _key_of(image_id), self._geometry())
        found = await self._access.reach(asked.client, look_up)
        if found is None:
            self._drop(asked.owner, image_id)
            raise NotFound(NOT_THERE)
        return UploadedImage.of_file(*found)

    async def owned(self, asked: RequestContext, most: int) -> list[UploadedImage]:
        """List up to `most` of the owner's images, those used last, most recently used last.

        Raises:
            ImagesUnreachable: the folder fails.
        """
        if self._folder is None:
            return [self._described(each) for each in self._memory.owned(asked.owner, most)]
        found = await self._access.reach(asked.client, partial(self._folder.owned, asked.owner, most, self._geometry()))
        return [UploadedImage.of_file(*each) for each in found]

    async def remove(self, asked: RequestContext, image_id: str) -> ImageKey | None:
        """Drop one of the owner's images; return its key if no other owner has it too.

        Raises:
            NotFound: unknown, expired or another's.
            ImagesUnreachable: the folder fails.
        """
        if self._folder is None:
            key = self._memory.remove(asked.owner, image_id).image_key
            return None if self._memory.holds(key) else key
        key = _key_of(image_id)
        removed, is_nobodys = await self._access.reach(asked.client, partial(_removed, self._folder, asked.owner, key))
        self._memory.discard(asked.owner, image_id)
        if not removed:
            raise NotFound(NOT_THERE)
        return key if is_nobodys else None

    async def keep_tidy(self) -> None:
        """Drop what has expired, in memory every second; count the folder and make room in it. Never returns."""
        async with asyncio.TaskGroup() as group:
            group.create_task(keep_up("the expiry of images in memory", self._keep_memory_tidy))
            if self._folder is not None:
                tidy = partial(self._keep_folder_tidy, self._folder)
                group.create_task(keep_up("the tidying of the image folder", tidy))

    async def _keep_memory_tidy(self) -> None:
        while True:
            more = self._memory.drop_expired()
            await asyncio.sleep(0 if more else SWEEP_S)

    async def _keep_folder_tidy(self, folder: ImageFolder) -> None:
        while True:
            self._due.clear()
            started_s = time.monotonic()
            await self._tidy(folder)
            took_s = time.monotonic() - started_s
            await asyncio.sleep(took_s / TIDY_SHARE)
            with suppress(TimeoutError):
                async with asyncio.timeout(TIDY_S):
                    await self._due.wait()

    async def _tidy(self, folder: ImageFolder) -> None:
        """Count the folder, and drop from memory what is no longer in it, with its features."""
        here = [(owner, ImageKey(image_id.removeprefix(PREFIX))) for owner, image_id in self._memory.names()]
        try:
            usage = await self._access.run(folder.tidy)
            for owner, key in await self._access.run(partial(folder.gone, here)):
                self._drop(owner, PREFIX + key)
            gone = frozenset(self._gone)
            for key in await self._access.run(partial(folder.nobodys, gone)):
                self._forget_features(key)
            self._gone -= gone
        except OSError as error:
            self._access.count("failed", error.strerror or str(error))
            return
        self._metrics.image_folder_bytes.set(usage.size_bytes)
        self._metrics.image_folder_images.set(usage.images)
        for each in usage.errors:
            self._access.count("failed", each)

    def _drop(self, owner: str, image_id: str) -> None:
        if self._memory.discard(owner, image_id):
            self._gone.add(ImageKey(image_id.removeprefix(PREFIX)))

    def _described(self, stored: StoredImage) -> UploadedImage:
        return UploadedImage.of(stored.image, self._memory.expires_in_s(stored))


def _key_of(image_id: str) -> ImageKey:
    """Return the key of the image with an id, which is a file's name too.

    Raises:
        NotFound: it is no id.
    """
    found = _ID.fullmatch(image_id)
    if found is None:
        raise NotFound(NOT_THERE)
    return ImageKey(found[1])


def _removed(folder: ImageFolder, owner: str, key: ImageKey) -> tuple[bool, bool]:
    """Remove an image; say whether it was there, and whether it is nobody's now."""
    removed, nobodys = folder.remove(owner, key), list[ImageKey]()
    with suppress(OSError):  # what is removed is removed, and features that stay do no harm
        nobodys = folder.nobodys([key])
    return removed, bool(nobodys)
