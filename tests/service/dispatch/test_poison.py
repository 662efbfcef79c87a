"""Poison: the bystander is cleared, however often workers die; what kills at the same place again is proven."""

from __future__ import annotations

from service.dispatch.poison import PoisonTracker


def after(*deaths_at: int) -> PoisonTracker:
    poison = PoisonTracker()
    for tokens in deaths_at:
        poison.worker_died(tokens)
    return poison


def test_nothing_is_held_against_a_request_without_deaths() -> None:
    assert not PoisonTracker().quarantined(0)
    assert not PoisonTracker().proven


def test_one_death_is_no_reason_for_quarantine() -> None:
    assert not after(7).quarantined(7)
    assert not after(0).quarantined(0)


def test_a_second_death_at_the_same_place_is_and_the_quarantine_ends_behind_that_place() -> None:
    assert after(0, 0).quarantined(0)
    assert after(7, 7).quarantined(7)
    assert after(7, 7).quarantined(8), "the replay's prefill gives one token whatever decoding would have done"
    assert not after(7, 7).quarantined(9)
    assert not after(7, 7).proven


def test_three_deaths_at_one_place_are_proof() -> None:
    assert after(0, 0, 0).proven
    assert after(7, 7, 7).proven


def test_dying_in_every_decoding_is_proof_though_each_replay_brings_one_token() -> None:
    assert after(7, 8, 9).proven


def test_a_bystander_of_many_deaths_at_ever_new_places_is_never_condemned() -> None:
    assert not after(*range(0, 1000, 10)).proven


def test_deaths_before_the_latest_place_do_not_count() -> None:
    assert not after(3, 3, 30, 30).proven
    assert after(3, 3, 30, 30, 30).proven
