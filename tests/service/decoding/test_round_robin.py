"""The queue in front of the decoders: round-robin between clients, oldest first within one."""

from __future__ import annotations

import pytest

from service.decoding.round_robin import RoundRobinQueue


def drained(queue):
    return [queue.pop()[1] for _ in range(len(queue))]


def test_a_client_with_one_image_waits_for_one_of_each_other_client_at_most():
    queue = RoundRobinQueue()
    for index in range(100):
        queue.push("greedy", f"greedy-{index}")
    queue.push("modest", "modest")
    assert drained(queue)[:3] == ["greedy-0", "modest", "greedy-1"]


def test_what_comes_again_goes_before_the_others_of_its_client():
    queue = RoundRobinQueue()
    queue.push("a", 1)
    queue.push("a", 0, first=True)
    assert drained(queue) == [0, 1]


def test_who_leaves_is_not_served_and_leaves_nothing_behind():
    queue = RoundRobinQueue()
    queue.push("a", 1)
    queue.push("b", 2)
    queue.remove("a", 1)
    queue.remove("a", 1)
    queue.remove("c", 3)
    assert drained(queue) == [2]
    with pytest.raises(IndexError, match="nothing waits"):
        queue.pop()


def test_who_may_not_is_passed_over_and_keeps_its_place():
    queue = RoundRobinQueue()
    for client, item in (("a", 1), ("b", 2), ("a", 3)):
        queue.push(client, item)
    assert queue.pop(lambda client: client != "a") == ("b", 2)
    with pytest.raises(IndexError, match="nobody who waits may"):
        queue.pop(lambda client: client != "a")
    assert drained(queue) == [1, 3]
