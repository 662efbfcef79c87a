"""The feature cache: bounded in bytes, least recently used first out, equal tiles kept once."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.request import CacheChanges
from model.runtime.features import feature_cache
from model.runtime.features.feature_cache import FeatureCache


def features(floats: int) -> torch.Tensor:
    return torch.zeros(floats)


def put(cache: FeatureCache, name: object, tiles: str, floats: int = 10) -> None:
    cache.put(str(name), list(tiles), [features(floats) for _ in tiles])


def test_the_least_recently_used_image_goes_first() -> None:
    cache = FeatureCache(limit_bytes=3 * 40)
    for name in "abc":
        put(cache, name, name)
    assert cache.get("a") is not None
    put(cache, "d", "d")
    assert [name for name in "abcd" if cache.get(name) is not None] == ["a", "c", "d"]


def test_equal_tiles_are_kept_once_and_as_long_as_any_image_has_them() -> None:
    cache = FeatureCache(limit_bytes=100 * 40)
    put(cache, "one", "pqqq")
    put(cache, "other", "pqrs")
    assert cache.size_bytes == 4 * 40
    assert cache.get("one")[1] is cache.get("one")[3] is cache.get("other")[1] is cache.tile("q")
    many = [cache._images["one"][1], cache._images["other"][1], *cache._known]
    assert len({id(key) for key in many if key == "q"}) == 1  # a string of 64 characters for each image would add up
    cache.drop("one")
    assert (cache.size_bytes, len(cache.get("other"))) == (4 * 40, 4)
    cache.drop("other")
    assert (cache.size_bytes, cache.tile("q")) == (0, None)


images = st.tuples(st.integers(0, 9), st.text("abcdefgh", min_size=1, max_size=5))


@given(st.lists(images, max_size=60), st.integers(0, 400))
def test_the_bound_holds_and_the_size_is_true_after_every_step(puts: list[tuple[int, str]], limit_bytes: int) -> None:
    cache, known = FeatureCache(limit_bytes), {}
    for name, tiles in puts:
        put(cache, name, tiles)
        known[str(name)] = tiles
        present = {name: tiles for name, tiles in known.items() if cache.get(name) is not None}
        held = set("".join(present.values()))
        assert cache.size_bytes == 40 * len(held) <= limit_bytes
        assert len(cache) == len(present)
        assert {tile for tile in "abcdefgh" if cache.tile(tile) is not None} == held
        assert (str(name) in present) == (40 * len(set(tiles)) <= limit_bytes)


def test_what_came_and_went_is_told_once_evictions_included() -> None:
    cache = FeatureCache(limit_bytes=2 * 40)
    for name in "abc":
        put(cache, name, name)
    put(cache, "huge", "xyz")
    assert cache.take_changes() == CacheChanges(("b", "c"), ("a",), ("b", "c"), ("a",))
    assert cache.take_changes() == CacheChanges()
    put(cache, "b", "b", floats=5)
    cache.drop("c")
    cache.drop("never")
    assert cache.take_changes() == CacheChanges(("b",), ("c",), ("b",), ("c",))


def test_images_that_share_every_tile_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_cache, "MOST_IMAGES", 3)
    cache = FeatureCache(limit_bytes=1000)
    for name in range(5):
        put(cache, name, "same")
    assert [name for name in range(5) if cache.get(str(name)) is not None] == [2, 3, 4]
