"""Suspicion: the bystander is cleared, the one that kills is proven, wherever and however it kills."""

from __future__ import annotations

from service.suspicion import MOST, PROOF, WATCHED, Suspicion


def after(*deaths_at: int) -> Suspicion:
    suspicion = Suspicion()
    for tokens in deaths_at:
        suspicion.worker_died(tokens)
    return suspicion


def test_nothing_is_held_against_a_request_without_deaths() -> None:
    assert not Suspicion().is_open(0)
    assert not Suspicion().proven


def test_a_suspect_is_cleared_behind_the_place_where_its_worker_died() -> None:
    suspicion = after(7)
    assert suspicion.is_open(7)
    assert suspicion.is_open(8), "the replay's prefill gives one token whatever decoding would have done"
    assert not suspicion.is_open(9)


def test_two_deaths_at_one_place_are_proof() -> None:
    assert not after(0).proven
    assert after(0, 0).proven
    assert after(7, 7).proven
    assert PROOF == 2


def test_dying_in_every_decoding_is_proof_though_each_replay_brings_one_token() -> None:
    assert after(7, 8).proven


def test_a_bystander_of_deaths_at_ever_new_places_is_not_condemned_with_the_second() -> None:
    assert not after(0, 10, 20).proven
    assert not after(0, 10).is_open(12)


def test_who_kills_by_chance_is_watched_to_its_end_and_condemned_at_last() -> None:
    places = range(0, 10 * MOST, 10)
    assert after(*places[:WATCHED]).is_open(1000)
    assert not after(*places[: MOST - 1]).proven
    assert after(*places).proven


def test_an_old_death_elsewhere_does_not_count_as_one_of_the_two() -> None:
    assert not after(3, 3 + 5).proven
    assert after(3, 3 + 5, 3 + 5).proven
