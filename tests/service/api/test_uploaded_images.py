"""Uploaded images in front of a folder that hangs, fills up, or in which another server deletes."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.pixels.tiles import ImageKey
from service.api.image_folder.access import FAILED, FULL, OTHER_MODEL, SLOW
from service.api.image_folder.folder import ImageFolder
from service.api.image_folder.image_file import TileGeometry
from service.api.image_store import NOT_THERE, PREFIX, ImageStore
from service.api.request_context import RequestContext
from service.api.uploaded_images import NO_ROOM, UploadedImages
from service.errors import ImagesUnreachable, NotFound
from service.metrics.service_metrics import Metrics
from tests.service.api.test_image_store import BYTES, picture

ME = RequestContext(owner="me", client="me")
CAT = picture("cat")
CAT_ID = PREFIX + CAT.image_key


class ScriptedFolder(ImageFolder):
    """A folder whose file system does something else once `act` is set."""

    act: Callable[[], Any] | None = None

    def write(self, *args: Any, **kwargs: Any) -> Any:
        return self.act() if self.act else super().write(*args, **kwargs)

    def use(self, *args: Any, **kwargs: Any) -> Any:
        return self.act() if self.act else super().use(*args, **kwargs)


class Replica:
    """A server's images, on a folder that it shares."""

    def __init__(self, place: Path, limit_s: float = 5.0, tile_px: int = 4) -> None:
        self.folder = ScriptedFolder(place, 1 << 20, 60.0)
        self.folder.open()
        self.memory, self.forgotten = ImageStore(10 * BYTES, 60.0), list[ImageKey]()
        self.images = UploadedImages(
            self.memory, self.folder, Metrics(), lambda: TileGeometry(5, tile_px), self.forgotten.append, limit_s
        )


def no_space() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def forbidden() -> None:
    raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize(("act", "words"), [(no_space, FULL), (forbidden, FAILED)], ids=["full", "forbidden"])
def test_a_folder_that_fails_refuses_uploads_and_ids_and_says_what_to_do(
    tmp_path: Path, act: Callable[[], None], words: str
) -> None:
    async def scenario() -> None:
        one = Replica(tmp_path)
        await one.images.put(ME, CAT)
        one.folder.act = act
        for failing in (one.images.put(ME, CAT), one.images.use(ME, CAT_ID)):
            with pytest.raises(ImagesUnreachable) as caught:
                await failing
            assert caught.value.detail == words
        one.folder.act = None
        assert await one.images.use(ME, CAT_ID) is CAT

    asyncio.run(scenario())


def test_a_folder_that_hangs_is_a_503_in_time_and_the_loop_goes_on(tmp_path: Path) -> None:
    hung = threading.Event()

    async def scenario() -> None:
        one = Replica(tmp_path, limit_s=0.1)
        one.folder.act = hung.wait
        ticks = asyncio.create_task(asyncio.sleep(0.02))
        with pytest.raises(ImagesUnreachable) as caught:
            await one.images.use(ME, CAT_ID)
        assert caught.value.detail == SLOW
        assert ticks.done()
        hung.set()

    asyncio.run(scenario())


def test_what_another_server_deletes_leaves_memory_and_features_here_too_unless_somebody_else_has_it(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        one, two, other = Replica(tmp_path), Replica(tmp_path), RequestContext(owner="you", client="you")
        for image in (CAT, picture("dog")):
            await one.images.put(ME, image)
            await two.images.use(ME, PREFIX + image.image_key)
        await one.images.put(other, picture("dog"))
        assert await one.images.remove(ME, CAT_ID) == CAT.image_key
        assert await one.images.remove(ME, PREFIX + picture("dog").image_key) is None
        assert len(two.memory) == 2
        await two.images._tidy(two.folder)
        assert (len(two.memory), two.forgotten) == (0, [CAT.image_key])
        await one.images.put(ME, CAT)
        await two.images.use(ME, CAT_ID)
        await one.images.remove(ME, CAT_ID)
        with pytest.raises(NotFound, match=NOT_THERE):
            await two.images.use(ME, CAT_ID)
        await two.images._tidy(two.folder)
        assert two.forgotten == [CAT.image_key] * 2

    asyncio.run(scenario())


def test_an_image_uploaded_for_another_model_is_a_404_that_says_so_until_it_is_uploaded_here(tmp_path: Path) -> None:
    async def scenario() -> None:
        await Replica(tmp_path).images.put(ME, CAT)
        newer = Replica(tmp_path, tile_px=6)
        for asked in (newer.images.use(ME, CAT_ID), newer.images.find(ME, CAT_ID)):
            with pytest.raises(NotFound) as caught:
                await asked
            assert caught.value.detail == OTHER_MODEL
        assert await newer.images.owned(ME, 10) == []
        resized = picture("cat", side_px=6)
        await newer.images.put(ME, resized)
        assert await newer.images.use(ME, CAT_ID) is resized

    asyncio.run(scenario())


def test_a_bound_too_small_for_one_image_is_named(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    replica.memory._limit_bytes = 1 << 30
    with pytest.raises(NotFound) as caught:
        replica.images.check_room(1 << 20)
    assert caught.value.detail == NO_ROOM
