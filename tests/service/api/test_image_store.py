"""The store of uploaded images: bounds in bytes and age, owners, ids."""

from __future__ import annotations

import hashlib
import timeit

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from model.pixels.tiles import ImageKey, TiledImage
from service.api.image_store import DROPPED_AT_ONCE, OFF, PREFIX, UNKNOWN, ImageStore, owned_by
from service.errors import NotFound

TTL_S = 60.0


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def picture(name: str, side_px: int = 4) -> TiledImage:
    tiles = np.zeros((5, side_px, side_px, 3), dtype=np.uint8)
    return TiledImage(ImageKey(hashlib.sha256(name.encode()).hexdigest()), 8, 6, tiles)


BYTES = picture("any").tiles.nbytes


@pytest.fixture
def clock() -> Clock:
    return Clock()


def store_of(images: int, clock: Clock) -> ImageStore:
    return ImageStore(images * BYTES, TTL_S, clock)


def test_an_image_has_the_same_id_at_every_upload_and_its_age_begins_anew(clock: Clock) -> None:
    store = store_of(2, clock)
    first = store.put("me", picture("cat"))
    clock.now_s += TTL_S - 1
    again = store.put("me", picture("cat"))
    assert first.id == again.id == PREFIX + picture("cat").image_key
    assert (len(store), store.size_bytes) == (1, BYTES)
    assert store.expires_in_s(again) == TTL_S


def test_an_image_is_gone_at_its_age_and_its_bytes_with_the_next_sweep(clock: Clock) -> None:
    store = store_of(2, clock)
    stored = store.put("me", picture("cat"))
    clock.now_s += TTL_S
    with pytest.raises(NotFound, match="upload it again"):
        store.use("me", stored.id)
    assert store.owned("me", 10) == ()
    assert not store.holds(picture("cat").image_key)
    store.drop_expired()
    assert (len(store), store.size_bytes) == (0, 0)


def test_the_least_recently_used_image_makes_room_and_looking_is_not_using(clock: Clock) -> None:
    store = store_of(2, clock)
    cat, dog = store.put("me", picture("cat")), store.put("me", picture("dog"))
    store.use("me", cat.id)
    store.find("me", dog.id)
    store.put("me", picture("cow"))
    assert store.use("me", cat.id) is cat.image
    with pytest.raises(NotFound):
        store.find("me", dog.id)


def test_an_expired_image_makes_room_before_a_living_one(clock: Clock) -> None:
    store = store_of(2, clock)
    old = store.put("me", picture("old"))
    clock.now_s += TTL_S / 2
    young = store.put("me", picture("young"))
    store.use("me", old.id)
    clock.now_s += TTL_S / 2
    store.put("me", picture("new"))
    assert store.find("me", young.id) is young


def test_an_image_with_less_time_left_goes_before_those_that_came_earlier(clock: Clock) -> None:
    store = store_of(3, clock)
    new = store.put("me", picture("new"))
    store.put("me", picture("read from a folder"), left_s=TTL_S / 2)
    clock.now_s += TTL_S / 2
    assert not store.holds(picture("read from a folder").image_key)
    assert (store.names(), store.size_bytes) == ((("me", new.id),), BYTES)


@pytest.mark.parametrize("image_id", ["", "img_", "img_zz", PREFIX + "0" * 64, "cat"])
def test_every_id_that_is_not_ones_own_gets_the_same_words(clock: Clock, image_id: str) -> None:
    store = store_of(3, clock)
    others = store.put("you", picture("cat"))
    for asked in (image_id, others.id):
        for act in (store.find, store.use, store.remove):
            with pytest.raises(NotFound) as caught:
                act("me", asked)
            assert caught.value.detail == UNKNOWN
    assert store.find("you", others.id) is others


def test_the_same_pixels_of_two_owners_are_two_images(clock: Clock) -> None:
    store = store_of(2, clock)
    mine, yours = store.put("me", picture("cat")), store.put("you", picture("cat"))
    assert mine.id == yours.id
    assert store.size_bytes == 2 * BYTES
    store.remove("me", mine.id)
    assert store.holds(picture("cat").image_key)
    store.remove("you", yours.id)
    assert not store.holds(picture("cat").image_key)


def test_an_owner_who_uploads_without_end_drops_its_own_images_and_nobody_elses(clock: Clock) -> None:
    store = store_of(6, clock)
    mine = [store.put("me", picture(name)) for name in "abc"]
    for number in range(100):
        store.put("you", picture(str(number)))
    assert list(store.owned("me", 9)) == mine
    assert len(store.owned("you", 9)) == 3


def test_an_owner_alone_has_the_whole_store_and_gives_back_what_is_over_its_share(clock: Clock) -> None:
    store = store_of(6, clock)
    for number in range(6):
        store.put("you", picture(str(number)))
    assert len(store) == 6
    for name in "abcd":
        store.put("me", picture(name))
    assert (len(store.owned("me", 9)), len(store.owned("you", 9))) == (3, 3)


def test_the_same_pixels_have_another_key_for_each_owner_and_their_own_where_there_are_none() -> None:
    image = picture("cat")
    mine, yours = owned_by("me", image), owned_by("you", image)
    assert len({image.image_key, mine.image_key, yours.image_key}) == 3
    assert owned_by("me", picture("cat")).image_key == mine.image_key
    assert owned_by("", image) is image
    assert mine.tiles is image.tiles


@pytest.mark.parametrize("limit", [0, BYTES - 1], ids=["off", "too-small-for-one"])
def test_a_store_without_room_for_one_image_says_so(clock: Clock, limit: int) -> None:
    store = ImageStore(limit, TTL_S, clock)
    with pytest.raises(NotFound) as caught:
        store.put("me", picture("cat"))
    assert caught.value.detail == OFF
    assert len(store) == 0


def test_a_store_that_is_off_refuses_ids_with_that_reason(clock: Clock) -> None:
    with pytest.raises(NotFound) as caught:
        ImageStore(0, TTL_S, clock).use("me", PREFIX + "0" * 64)
    assert caught.value.detail == OFF


OWNERS = st.sampled_from(["me", "you", ""])
NAMES = st.sampled_from("abcdef")
LEFT_S = st.none() | st.floats(1.0, TTL_S)


class StoreModel(RuleBasedStateMachine):
    """The store against a list that is searched: most recently used last, never more than the limit, shared fairly."""

    LIMIT = 4 * BYTES

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.store = ImageStore(self.LIMIT, TTL_S, self.clock)
        self.known: list[tuple[str, str, int, float]] = []  # owner, id, bytes, expiry

    def _living(self) -> list[tuple[str, str, int, float]]:
        return [entry for entry in self.known if entry[3] > self.clock.now_s]

    def _is_known(self, owner: str, image_id: str) -> bool:
        return any(entry[:2] == (owner, image_id) for entry in self._living())

    @rule(owner=OWNERS, name=NAMES, side_px=st.sampled_from([2, 4, 6]), left_s=LEFT_S)
    def put(self, owner: str, name: str, side_px: int, left_s: float | None) -> None:
        image = picture(f"{name}{side_px}", side_px)
        stored = self.store.put(owner, image, left_s)
        rest = [entry for entry in self._living() if entry[:2] != (owner, stored.id)]
        while sum(entry[2] for entry in rest) + image.tiles.nbytes > self.LIMIT:
            held = {whose: sum(entry[2] for entry in rest if entry[0] == whose) for whose, *_ in rest}
            greedy = owner in held and held[owner] + image.tiles.nbytes > self.LIMIT / len(held)
            loser = owner if greedy else max(held, key=lambda whose: (held[whose], whose))
            rest.remove(next(entry for entry in rest if entry[0] == loser))
        self.known = [*rest, (owner, stored.id, image.tiles.nbytes, self.clock.now_s + (left_s or TTL_S))]

    @rule(owner=OWNERS, name=NAMES, side_px=st.sampled_from([2, 4, 6]), act=st.sampled_from(["find", "use", "remove"]))
    def ask(self, owner: str, name: str, side_px: int, act: str) -> None:
        image_id = PREFIX + picture(f"{name}{side_px}").image_key
        if not self._is_known(owner, image_id):
            with pytest.raises(NotFound):
                getattr(self.store, act)(owner, image_id)
            return
        getattr(self.store, act)(owner, image_id)
        entry = next(entry for entry in self._living() if entry[:2] == (owner, image_id))
        if act != "find":
            self.known.remove(entry)
        if act == "use":
            self.known.append(entry)

    @rule(seconds=st.floats(0.0, TTL_S))
    def wait(self, seconds: float) -> None:
        self.clock.now_s += seconds

    @rule()
    def sweep(self) -> None:
        self.store.drop_expired()
        assert self.store.size_bytes == sum(entry[2] for entry in self._living())

    @invariant()
    def every_owner_sees_exactly_its_own_and_the_bound_holds(self) -> None:
        for owner in ("me", "you", ""):
            seen = [stored.id for stored in self.store.owned(owner, 1000)]
            assert seen == [entry[1] for entry in self._living() if entry[0] == owner]
        assert self.store.size_bytes <= self.LIMIT
        for name in "abcdef":
            image_key = picture(f"{name}4").image_key
            assert self.store.holds(image_key) == any(entry[1] == PREFIX + image_key for entry in self._living())


TestStoreModel = StoreModel.TestCase
TestStoreModel.settings = settings(max_examples=60, stateful_step_count=30)


def test_a_list_is_as_long_as_was_asked_and_ends_with_what_was_used_last(clock: Clock) -> None:
    store = store_of(10, clock)
    ids = [store.put("me", picture(str(number))).id for number in range(5)]
    store.use("me", ids[1])
    assert [stored.id for stored in store.owned("me", 3)] == [ids[3], ids[4], ids[1]]
    assert store.owned("you", 3) == ()


def test_a_flood_of_images_holds_nobody_up(clock: Clock) -> None:
    """100,000 images of 10,000 owners: no single call takes much longer than with a hundred images."""
    tiles = np.zeros((1, 1, 1, 3), dtype=np.uint8)
    store = ImageStore(3 * 100_000, TTL_S, clock)
    for number in range(100_100):
        store.put(f"owner {number % 10_000}", TiledImage(ImageKey(f"{number:064x}"), 8, 6, tiles))
    assert (len(store), store.size_bytes) == (100_000, 300_000)
    mine, longest_s = "owner 5", 0.0
    [*_, latest] = store.owned(mine, 1000)
    for _ in range(20):  # the longest of each kind of call would be some 20 ms if it looked at every image
        for call in (
            lambda: store.owned(mine, 1000),
            lambda: store.holds(ImageKey("0" * 64)),
            lambda: store.holds(latest.image.image_key),
            lambda: store.use(mine, latest.id),
            lambda: store.put(mine, latest.image),
            store.drop_expired,
        ):
            took_s = min(timeit.repeat(call, repeat=3, number=1))
            longest_s = max(longest_s, took_s)
    assert longest_s < 0.002
    clock.now_s += TTL_S
    sweeps = [timeit.timeit(store.drop_expired, number=1) for _ in range(1 + 100_000 // DROPPED_AT_ONCE)]
    assert (len(store), store.size_bytes) == (0, 0)
    assert sorted(sweeps)[len(sweeps) // 2] < 0.01
