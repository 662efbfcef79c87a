"""The feature cache: bounded in bytes, least recently used first out."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from model.runtime.feature_cache import FeatureCache, FeatureKey


def key(name: object) -> FeatureKey:
    return FeatureKey(str(name), "prepared", "weights")


def features(floats: int) -> torch.Tensor:
    return torch.zeros(floats)


def test_the_least_recently_used_image_goes_first() -> None:
    cache = FeatureCache(limit_bytes=3 * 40)
    for name in "abc":
        cache.put(key(name), features(10))
    assert cache.get(key("a")) is not None
    cache.put(key("d"), features(10))
    assert [name for name in "abcd" if cache.get(key(name)) is not None] == ["a", "c", "d"]


def test_other_weights_or_other_preprocessing_are_other_features() -> None:
    cache = FeatureCache(1000)
    cache.put(FeatureKey("pixels", "p1", "w1"), features(1))
    assert cache.get(FeatureKey("pixels", "p1", "w2")) is None
    assert cache.get(FeatureKey("pixels", "p2", "w1")) is None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 30)), max_size=60), st.integers(0, 300))
def test_the_bound_holds_and_the_size_is_true_after_every_step(puts: list[tuple[int, int]], limit_bytes: int) -> None:
    cache, kept = FeatureCache(limit_bytes), {}
    for name, floats in puts:
        cache.put(key(name), features(floats))
        kept[name] = 4 * floats
        present = [name for name in kept if cache.get(key(name)) is not None]
        assert cache.size_bytes == sum(kept[name] for name in present) <= limit_bytes
        assert len(cache) == len(present)
        assert (name in present) == (4 * floats <= limit_bytes)


def test_what_came_and_went_is_told_once_evictions_included() -> None:
    cache = FeatureCache(limit_bytes=2 * 40)
    for name in "abc":
        cache.put(key(name), features(10))
    cache.put(key("huge"), features(100))
    assert cache.take_changes() == {key("a"): False, key("b"): True, key("c"): True}
    assert cache.take_changes() == {}
    cache.put(key("b"), features(5))
    cache.drop(key("c"))
    cache.drop(key("never"))
    assert cache.take_changes() == {key("b"): True, key("c"): False}
