"""The plan of file descriptors: a reserve first, connections from the rest."""

from __future__ import annotations

import pytest

from service.api.connections.descriptors import MOST_CONNECTIONS, TooFewDescriptors, plan_connections


def test_with_the_usual_limit_more_than_half_is_for_connections_and_the_reserve_holds_a_flood_of_accepts() -> None:
    plan = plan_connections(1024, workers=1, wanted=0)
    assert plan.most > 512
    assert 1024 - plan.most > 4 * plan.accepts + 128


def test_a_large_limit_does_not_make_memory_unbounded() -> None:
    assert plan_connections(65_536, workers=8, wanted=0).most == MOST_CONNECTIONS
    assert plan_connections(65_536, workers=8, wanted=20_000).most == 20_000


@pytest.mark.parametrize(
    ("descriptors", "wanted", "words"),
    [
        pytest.param(128, 0, r"allow \d+$", id="low-limit"),
        pytest.param(1024, 1000, r"allow \d+ for 1000 connections, or set it lower$", id="too-many-wanted"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_limit_that_is_needed(
    descriptors: int, wanted: int, words: str
) -> None:
    with pytest.raises(TooFewDescriptors, match=rf"^PHEYE_MAX_CONNECTIONS: .*ulimit -n.*{words}") as refused:
        plan_connections(descriptors, workers=1, wanted=wanted)
    needed = int(str(refused.value).partition("; allow ")[2].partition(" ")[0])
    assert plan_connections(needed, workers=1, wanted=wanted)
