"""The folder of uploaded images: owners, age, hostile files, several servers, each of which is an object here."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO
from unittest.mock import Mock

import numpy as np
import pytest

from model.pixels.tiles import PREPROCESSING, TiledImage
from service.api.image_folder.folder import ImageFolder, ImageFolderError
from service.api.image_folder.housekeeping import ABANDONED_S
from service.api.image_folder.image_file import DamagedFile, OtherGeometry, TileGeometry
from service.api.image_folder.owner_directory import Entry, OwnerDirectory
from service.api.image_folder.start import open_folder
from service.configuration.settings import Settings, SettingsError
from tests.support.full_disks import no_file_above
from tests.support.image_folders import CAT, GEOMETRY, TTL_S, Clock, file_of, names, picture, server, used


def test_another_server_and_the_next_one_read_all_that_was_written(place: Path, clock: Clock) -> None:
    assert server(place, clock).write("me", CAT).left_s == TTL_S
    for other in (server(place, clock), server(place, clock)):
        found = used(other)
        assert found is not None
        assert (found.image_key, found.width_px, found.height_px) == (CAT.image_key, 11, 7)
        assert (found.facts, found.tile_keys) == (CAT.facts, CAT.tile_keys)
        assert np.array_equal(found.tiles, CAT.tiles)
        [(head, left_s)] = other.owned("me", 10, GEOMETRY)
        assert (head.image_key, head.geometry.size_bytes) == (CAT.image_key, CAT.tiles.nbytes)
        assert 0 < left_s <= TTL_S


def test_an_owner_finds_and_removes_its_own_images_only(place: Path, clock: Clock) -> None:
    folder = server(place, clock)
    folder.write("me", CAT)
    assert used(folder, "you") is None
    assert folder.describe("you", CAT.image_key, GEOMETRY) is None
    assert names(folder, "you") == []
    assert not folder.remove("you", CAT.image_key)
    assert folder.nobodys([CAT.image_key]) == []
    folder.write("you", CAT)
    assert folder.remove("me", CAT.image_key)
    assert folder.nobodys([CAT.image_key]) == []
    assert folder.remove("you", CAT.image_key)
    assert folder.nobodys([CAT.image_key]) == [CAT.image_key]
    # Put under another owner's name by hand, it is no image of theirs.
    folder.write("me", CAT)
    folder.write("you", picture("dog"))
    mine, yours = file_of(place), file_of(place, picture("dog")).parent
    (yours / mine.name).write_bytes(mine.read_bytes())
    with pytest.raises(DamagedFile, match="elsewhere"):
        used(folder, "you")


def test_files_are_for_this_user_alone_and_their_names_tell_of_no_owner(place: Path, clock: Clock) -> None:
    server(place, clock).write("secret", CAT)
    path = file_of(place)
    assert [each.stat().st_mode & 0o777 for each in (place, path.parent, path)] == [0o700, 0o700, 0o600]
    assert "secret" not in str(path)
    assert hashlib.sha256(b"secret").hexdigest() not in str(path)
    assert b"secret" not in path.read_bytes()


def test_a_removed_image_is_gone_at_every_server(place: Path, clock: Clock) -> None:
    one, two = server(place, clock), server(place, clock)
    one.write("me", CAT)
    assert two.use("me", CAT.image_key, GEOMETRY, read=False) is not None
    assert two.remove("me", CAT.image_key)
    assert not one.remove("me", CAT.image_key)
    assert one.use("me", CAT.image_key, GEOMETRY, read=False) is None
    assert one.gone([("me", CAT.image_key)]) == [("me", CAT.image_key)]


def test_an_image_is_as_old_as_its_latest_upload_anywhere_and_using_it_makes_it_no_younger(
    place: Path, clock: Clock
) -> None:
    one, two = server(place, clock), server(place, clock)
    one.write("me", CAT)
    os.utime(file_of(place), (0, file_of(place).stat().st_mtime - TTL_S / 2))
    left = two.use("me", CAT.image_key, GEOMETRY, read=True)
    assert left is not None
    assert left.left_s < TTL_S / 2 + 1
    two.write("me", CAT)
    again = one.use("me", CAT.image_key, GEOMETRY, read=False)
    assert again is not None
    assert again.left_s > TTL_S - 5
    clock.ahead_s = TTL_S
    assert used(one) is None
    assert not one.remove("me", CAT.image_key)
    one.write("you", picture("dog"))
    assert one.tidy().images == 0
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda content: b"", "no file of an image"),
        (lambda content: content[:100], "head|no file"),
        (lambda content: content[:-1], "too short"),
        (lambda content: content + b"x", "too long"),
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "damaged tiles"),
        (lambda content: content.replace(b'"width_px":11', b'"width_px":12'), "damaged head"),
        (lambda content: b"\n" * 1000, "no file of an image"),
        (lambda content: b"\x80\x04N." * 200, "no file of an image"),
        (lambda content: b"pheye-image-1 a b\n{}\n", "damaged head"),
    ],
    ids=["empty", "head-cut", "cut", "longer", "bit", "field", "lines", "pickle", "made-up"],
)
def test_a_damaged_file_is_refused_removed_and_written_anew(
    place: Path, clock: Clock, spoil: Callable[[bytes], bytes], words: str
) -> None:
    folder = server(place, clock)
    folder.write("me", CAT)
    path = file_of(place)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DamagedFile, match=words):
        used(folder)
    assert not path.exists()
    assert used(folder) is None
    folder.write("me", CAT)
    assert used(folder) is not None


def test_a_head_that_promises_much_takes_no_memory(place: Path, clock: Clock) -> None:
    folder = server(place, clock)
    huge = TiledImage(CAT.image_key, 1, 1, np.broadcast_to(np.zeros((), np.uint8), (1, 4, 4, 3)))
    folder.write("me", huge)
    path = file_of(place)
    path.write_bytes(path.read_bytes())
    os.truncate(path, 1 << 40)  # of which nothing is on the disk
    with pytest.raises(OtherGeometry):
        used(folder)
    folder.write("me", CAT)
    os.truncate(path, 1 << 40)
    with pytest.raises(DamagedFile, match="too long"):
        used(folder)


@pytest.mark.parametrize("kind", ["link", "broken-link", "pipe", "directory"])
def test_what_is_no_file_is_not_opened_and_what_it_points_to_stays(place: Path, clock: Clock, kind: str) -> None:
    folder = server(place, clock)
    folder.write("me", CAT)
    path, target = file_of(place), place.parent / "target"
    target.write_bytes(path.read_bytes())
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(target if kind == "link" else place / "nothing")
    with pytest.raises(DamagedFile, match="no regular file"):
        used(folder)
    assert target.exists()
    assert folder.tidy().errors == ()
    if kind != "directory":
        folder.write("me", CAT)
        assert used(folder) is not None


def test_an_owners_directory_that_is_a_link_is_not_followed(place: Path, clock: Clock) -> None:
    folder = server(place, clock)
    folder.write("me", CAT)
    directory = file_of(place).parent
    directory.rename(place.parent / "elsewhere")
    directory.symlink_to(place.parent / "elsewhere")
    for act in (lambda: used(folder), lambda: folder.write("me", CAT), lambda: folder.remove("me", CAT.image_key)):
        with pytest.raises(OSError, match=r"Not a directory|symbolic"):
            act()
    assert folder.tidy().errors
    assert file_of(place.parent / "elsewhere" / "..").exists()


@pytest.mark.parametrize("geometry", [TileGeometry(2, 8), TileGeometry(5, 16), TileGeometry(5, 8, PREPROCESSING + 1)])
def test_an_image_with_another_models_tiles_is_not_used_and_stays_for_that_model(
    place: Path, clock: Clock, geometry: TileGeometry
) -> None:
    folder = server(place, clock)
    folder.write("me", CAT)
    with pytest.raises(OtherGeometry):
        folder.use("me", CAT.image_key, geometry, read=True)
    assert folder.owned("me", 10, geometry) == []
    assert used(folder) is not None


def test_a_file_of_another_user_does_not_hide_the_others(
    place: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, dog, reading = server(place, clock), picture("dog"), OwnerDirectory.reading
    folder.write("me", CAT)
    folder.write("me", dog)

    def refused(directory: OwnerDirectory, name: str) -> AbstractContextManager[BinaryIO]:
        if name.startswith(CAT.image_key):
            raise PermissionError(errno.EACCES, "Permission denied", name)
        return reading(directory, name)

    monkeypatch.setattr(OwnerDirectory, "reading", refused)
    assert [head.image_key for head, _ in folder.owned("me", 10, GEOMETRY)] == [dog.image_key]


def test_a_write_that_fails_leaves_the_file_before_and_nothing_else(place: Path, clock: Clock) -> None:
    folder = server(place, clock)
    folder.write("me", CAT)
    with no_file_above(500), pytest.raises(OSError, match="too large"):
        folder.write("me", CAT)
    assert used(folder) is not None
    assert os.listdir(file_of(place).parent) == [file_of(place).name]


def test_files_of_others_are_left_alone_and_take_no_image_with_them(place: Path, clock: Clock) -> None:
    folder = server(place, clock, limit_bytes=20 * SIZE)
    folder.write("me", CAT)
    folder.write("you", picture("dog"))
    foreign = file_of(place).with_name(".nfs0001")
    with foreign.open("wb") as file:
        file.truncate(100 * SIZE)
    assert folder.tidy().images == 2
    assert foreign.exists()


@pytest.mark.parametrize("kind", ["file", "link", "pipe"])
def test_what_only_looks_like_an_owners_directory_has_no_image(place: Path, clock: Clock, kind: str) -> None:
    folder = server(place, clock)
    folder.write("me", CAT)
    odd = place / ("f" * 64)
    if kind == "file":
        odd.touch()
    elif kind == "link":
        odd.symlink_to("/etc")
    else:
        os.mkfifo(odd)
    assert folder.remove("me", CAT.image_key)
    assert folder.nobodys([CAT.image_key]) == [CAT.image_key]
    assert folder.tidy().images == 0


def test_leftovers_of_a_killed_process_go_when_nobody_can_be_writing_them(place: Path, clock: Clock) -> None:
    folder = server(place, clock)
    folder.write("me", CAT)
    leftover = file_of(place).with_name("x.unfinished")
    leftover.write_bytes(b"half")
    folder.tidy()
    assert leftover.exists()
    clock.ahead_s = ABANDONED_S
    folder.tidy()
    assert not leftover.exists()


def test_a_folder_that_is_gone_is_an_error_and_not_an_unknown_image(place: Path, clock: Clock) -> None:
    folder = server(place, clock)
    folder.write("me", CAT)
    place.rename(place.parent / "moved")
    acts: list[Callable[[], object]] = [
        lambda: used(folder),
        lambda: folder.write("me", CAT),
        lambda: folder.remove("me", CAT.image_key),
        lambda: names(folder),
        lambda: folder.gone([("me", CAT.image_key)]),
        lambda: folder.nobodys([CAT.image_key]),
        folder.tidy,
    ]
    for act in acts:
        with pytest.raises(FileNotFoundError):
            act()
    assert not place.exists()
    (place.parent / "moved").rename(place)
    assert used(folder) is not None


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageFolderError, match=rf"{tmp_path}/file/images is no folder: choose another"):
        server(tmp_path / "file/images", clock)


SIZE = 1900  # of a file, about: 960 bytes of tiles, and the head


def test_an_image_renewed_while_another_server_removes_it_for_its_age_stays(place: Path, clock: Clock) -> None:
    folder = server(place, clock)
    folder.write("me", CAT)
    path = file_of(place)
    old = Entry(path.name, 1, path.stat().st_mtime_ns - 1, 0.0)  # as it was seen before it was renewed
    with OwnerDirectory.opened(place, path.parent.name) as owned:
        assert owned is not None
        assert not owned.remove_unless_renewed(old)
        assert used(folder) is not None
        assert owned.remove_unless_renewed(Entry(path.name, 1, path.stat().st_mtime_ns, 0.0))
        assert not owned.remove_unless_renewed(old)
    assert os.listdir(path.parent) == []


def test_an_image_that_is_deleted_while_it_is_put_aside_does_not_come_back(place: Path, clock: Clock) -> None:
    folder = server(place, clock)
    folder.write("me", CAT)
    path = file_of(place)
    path.rename(path.with_name(f"{path.name}.0.aside"))
    folder.remove("me", CAT.image_key)
    assert os.listdir(path.parent) == []


def test_servers_that_write_use_delete_and_tidy_at_once_never_see_a_broken_image(place: Path, clock: Clock) -> None:
    pictures, faults = [picture(str(number)) for number in range(6)], []

    def work(seed: int) -> None:
        folder = ImageFolder(place, 4 * SIZE, TTL_S, clock)
        random = np.random.default_rng(seed)
        try:
            for _ in range(150):
                image, owner = pictures[random.integers(6)], f"owner {random.integers(2)}"
                match random.integers(5):
                    case 0 | 1:
                        folder.write(owner, image)
                    case 2:
                        folder.remove(owner, image.image_key)
                    case 3:
                        folder.tidy()
                found = used(folder, owner, image)
                assert found is None or np.array_equal(found.tiles, image.tiles)
                names(folder, owner)
        except Exception as error:
            faults.append(error)

    server(place, clock)
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert [each.name for each in place.glob("*/*") if each.suffix != ".image"] == []


def test_a_folder_that_no_thread_can_look_at_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", Mock(side_effect=RuntimeError("can't start new thread")))
    with pytest.raises(SettingsError, match=f"PHEYE_IMAGE_FOLDER: {place} cannot be looked at: can't start"):
        open_folder(Settings(image_folder=place))
