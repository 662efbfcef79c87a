"""Suspicion: the bystander is cleared, however often workers die; what kills at the same place again is proven."""

from __future__ import annotations

from service.dispatch.poison import PoisonTracker


def after(*deaths_at: int) -> PoisonTracker:
    suspicion = PoisonTracker()
    for tokens in deaths_at:
        suspicion.worker_died(tokens)
    return suspicion


def test_nothing_is_held_against_a_request_without_deaths() -> None:
    assert not PoisonTracker().on_trial(0)
    assert not PoisonTracker().proven


def test_one_death_is_no_reason_for_a_trial() -> None:
    assert not after(7).on_trial(7)
    assert not after(0).on_trial(0)


def test_a_second_death_at_the_same_place_is_and_the_trial_ends_behind_that_place() -> None:
    assert after(0, 0).on_trial(0)
    assert after(7, 7).on_trial(7)
    assert after(7, 7).on_trial(8), "the replay's prefill gives one token whatever decoding would have done"
    assert not after(7, 7).on_trial(9)
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
