"""Room in the folder of uploaded images: which files go, and what servers do that make room at the same time."""

from __future__ import annotations

import errno
import fcntl
import threading
import time
from pathlib import Path

import pytest

from service.api.image_folder import eviction_lock as lock_module
from service.api.image_folder.eviction_lock import eviction_lock
from service.api.image_folder.folder import NOTED_S, ImageFolder
from service.api.image_folder.housekeeping import FILL
from tests.support.image_folders import GEOMETRY, ROOM, TTL_S, Clock, age, file_of, names, picture, server


def test_the_images_used_longest_ago_of_those_who_hold_most_make_room(place: Path, clock: Clock) -> None:
    folder = server(place, clock)
    pictures = [picture(str(number)) for number in range(10)]
    for number, image in enumerate(pictures):
        folder.write("greedy", image)
        age(place, image, 20 - number)
    mine = [picture("mine 1"), picture("mine 2")]
    for image in mine:
        folder.write("me", image)
        age(place, image, 30)
    size_bytes = file_of(place, mine[0]).stat().st_size
    full = server(place, clock, limit_bytes=11 * size_bytes)  # 12 are there; 9.9 stay
    assert full.tidy().images == 9
    assert len(names(full, "me")) == 2
    assert names(full, "greedy") == [each.image_key for each in pictures[3:]]
    for number in range(40):
        full.write("greedy", picture(f"more {number}"))
        assert sum(each.stat().st_size for each in place.glob("*/*")) <= 11.3 * size_bytes
    assert len(names(full, "me")) == 2
    assert 1 + FILL * 11 - 2 >= len(names(full, "greedy")) >= 6


def test_an_image_that_is_used_stays_and_one_that_is_looked_at_does_not(place: Path, clock: Clock) -> None:
    folder = server(place, clock)
    pictures = [picture(str(number)) for number in range(4)]
    for image in pictures:
        folder.write("me", image)
        age(place, image, NOTED_S - 10)
    clock.ahead_s = 20
    wanted = ImageFolder(place, ROOM, 10 * TTL_S, clock)
    wanted.use("me", pictures[0].image_key, GEOMETRY, read=False)
    assert names(folder) == []  # too old for this one
    assert [head.image_key for head, _ in wanted.owned("me", 2, GEOMETRY)][-1] == pictures[0].image_key


def test_two_servers_that_make_room_at_once_remove_no_more_than_one_would(place: Path, clock: Clock) -> None:
    one = server(place, clock)
    for number in range(40):
        one.write(f"owner {number % 4}", picture(str(number)))
    limit_bytes = sum(each.stat().st_size for each in place.glob("*/*")) // 2
    servers = [ImageFolder(place, limit_bytes, TTL_S, clock) for _ in range(4)]
    threads = [threading.Thread(target=each.tidy) for each in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left = servers[0].tidy()
    assert left.images in (17, 18)  # nine tenths of 20
    assert left.errors == ()
    assert {len(names(one, f"owner {number}")) for number in range(4)} <= {4, 5}


def test_a_server_waits_for_the_one_that_makes_room_and_counts_again(place: Path, clock: Clock) -> None:
    one = server(place, clock)
    for number in range(20):
        one.write("me", picture(str(number)))
    other = ImageFolder(place, sum(each.stat().st_size for each in place.glob("*/*")) // 2, TTL_S, clock)
    with eviction_lock(place) as locked:
        assert locked
        waiting = threading.Thread(target=other.tidy)
        waiting.start()
        time.sleep(0.1)
        assert len(names(one)) == 20
        for number in range(11):
            one.remove("me", picture(str(number)).image_key)
    waiting.join()
    assert len(names(one)) == 9


@pytest.mark.parametrize("lock", ["held", "unknown"])
def test_room_is_made_beside_a_server_that_has_stopped_and_where_there_are_no_locks(
    lock: str, place: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = server(place, clock)
    for number in range(20):
        one.write("me", picture(str(number)))
    full = ImageFolder(place, sum(each.stat().st_size for each in place.glob("*/*")) // 2, TTL_S, clock)
    if lock == "held":
        monkeypatch.setattr(lock_module, "WAIT_S", 0.05)
        with eviction_lock(place):
            assert full.tidy().images == 9
    else:
        monkeypatch.setattr(fcntl, "flock", no_locks)
        assert full.tidy().images == 9


def no_locks(*_: object) -> None:
    raise OSError(errno.ENOLCK, "No locks available")
