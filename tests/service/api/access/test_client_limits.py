"""Limits of one client: requests at a time, requests in a time, and refusals of those who do not wait."""

from __future__ import annotations

import time

import pytest

from service.api.access.client_limits import MOST_REFUSED, REFUSAL_DELAY_S, ClientLimits, RefusalDelay
from service.configuration.client_policy import ClientPolicy, rates_of
from service.errors import RateLimited, TooManyConcurrent


def test_a_client_has_no_more_requests_under_way_than_it_may_and_others_are_not_counted() -> None:
    limits, policy = ClientLimits(), ClientPolicy(max_concurrent=2)
    with limits.counted("a", policy):
        with limits.counted("a", policy):
            with pytest.raises(TooManyConcurrent, match="2 of your requests") as refused, limits.counted("a", policy):
                pass
            assert refused.value.retry_after_s == 1
            with limits.counted("b", policy):
                pass
        with limits.counted("a", policy):
            pass
    assert not limits._under_way
    assert not limits._took_s


def test_a_request_that_fails_is_counted_no_longer() -> None:
    limits, policy = ClientLimits(), ClientPolicy(max_concurrent=1)
    for _ in range(3):
        with pytest.raises(ValueError, match="broken"), limits.counted("a", policy):
            raise ValueError("broken")


def test_a_rate_limit_counts_each_client_alone_and_says_truly_when_to_come_back() -> None:
    limits, policy = ClientLimits(), ClientPolicy(rate=rates_of("3/2 seconds; 100/minute"))
    for client in ("a", "b"):
        for _ in range(3):
            with limits.counted(client, policy):
                pass
    with pytest.raises(RateLimited, match="3 per 2 second") as refused, limits.counted("a", policy):
        pass
    assert refused.value.retry_after_s in (1, 2)
    time.sleep(refused.value.retry_after_s)
    with limits.counted("a", policy):
        pass


def test_a_refused_request_uses_up_no_rate() -> None:
    limits, policy = ClientLimits(), ClientPolicy(rate=rates_of("1/2 seconds"))
    with limits.counted("a", policy):
        pass
    for _ in range(5):
        with pytest.raises(RateLimited), limits.counted("a", policy):
            pass
    time.sleep(2.0)
    with limits.counted("a", policy):
        pass


def test_who_comes_back_too_early_waits_for_the_next_refusal_and_who_obeys_does_not() -> None:
    now = [0.0]
    delay = RefusalDelay(lambda: now[0])
    assert delay.delay_s("a", 5.0) == 0.0
    now[0] = 4.9
    assert delay.delay_s("b", 5.0) == 0.0
    assert delay.delay_s("a", 5.0) == REFUSAL_DELAY_S
    now[0] = 9.9
    assert delay.delay_s("a", 5.0) == 0.0


def test_a_swarm_of_refused_clients_takes_no_memory_without_bound() -> None:
    delay = RefusalDelay()
    for number in range(MOST_REFUSED + 100):
        delay.delay_s(str(number), 5.0)
    assert len(delay._not_before) == MOST_REFUSED
