"""Hashing sends every request somewhere, one more machine moves few images, and a bound holds for the hottest image."""

from __future__ import annotations

import numpy as np
import pytest

from service.bench.capacity.ring import HashRing, assign
from service.bench.capacity.traffic import Traffic

MACHINES = 20
RATES = Traffic(0.8, 2_000, zipf=1.0).popularity() * 100.0
NEW_RATE = 20.0


@pytest.mark.parametrize("balance", [None, 1.05, 1.25])
def test_every_request_goes_somewhere(balance: float | None) -> None:
    assigned = assign(HashRing.of(MACHINES), RATES, NEW_RATE, balance)
    assert assigned.loads().sum() == pytest.approx(RATES.sum() + NEW_RATE)
    assert np.bincount(assigned.images, assigned.rates) == pytest.approx(RATES)


def test_a_bound_holds_and_most_of_the_load_stays_where_plain_hashing_has_it() -> None:
    ring = HashRing.of(MACHINES)
    plain, bounded = assign(ring, RATES, NEW_RATE), assign(ring, RATES, NEW_RATE, 1.25)
    most = 1.25 * (RATES.sum() + NEW_RATE) / MACHINES
    assert plain.loads().max() > 1.5 * most  # the machine that has the hottest image
    assert bounded.loads().max() <= most * (1 + 1e-9)
    places = dict(zip(plain.images.tolist(), plain.machines.tolist(), strict=True))
    homes = np.array([places[image] for image in bounded.images.tolist()])
    assert bounded.rates[homes == bounded.machines].sum() > 0.7 * RATES.sum()


def test_one_more_machine_takes_its_share_of_the_images_and_moves_no_other() -> None:
    before, after = (assign(HashRing.of(count), RATES, 0.0).machines for count in (MACHINES, MACHINES + 1))
    moved = before != after
    assert set(after[moved].tolist()) == {MACHINES}
    assert moved.mean() == pytest.approx(1 / (MACHINES + 1), rel=0.5)


def test_shares_of_the_ring_add_up() -> None:
    assert HashRing.of(MACHINES).arcs().sum() == pytest.approx(1.0)
