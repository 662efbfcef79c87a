"""Timing in turns: the arithmetic and the order, on a clock that only moves when the work says so."""

from __future__ import annotations

import pytest

from model.bench.timing import COUNTED_S, LEAST_SAMPLE_S, LONG_S, Lap, Race, Spread, Stopwatch, race


class Work:
    """Two sides whose every call takes the next of their seconds, on one clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.order: list[str] = []

    def side(self, name: str, *seconds: float, lap_after: float | None = None):
        waiting = list(seconds)

        def call(lap: Lap) -> str:
            self.order.append(name)
            took = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            if lap_after is not None:
                self.now_s += lap_after * took
                lap()
            self.now_s += took * (1 - (lap_after or 0))
            return f"made by {name}"

        return call

    def watch(self) -> Stopwatch:
        return Stopwatch(clock=lambda: self.now_s)


def test_sides_take_turns_after_one_turn_each_that_is_not_counted() -> None:
    work = Work()
    raced = race(work.side("naive", 4.5, 3.0), work.side("fast", 77.0, 2.0), 3, work.watch())
    assert work.order == ["naive", "fast"] * 4
    (only,) = raced.races
    assert (only.baseline_s.median, only.fast_s.median) == (3.0, 2.0)
    assert (raced.baseline, raced.fast) == ("made by naive", "made by fast")


def test_the_first_turns_of_work_that_takes_long_count() -> None:
    work = Work()
    raced = race(work.side("naive", COUNTED_S, 99.0), work.side("fast", 1.0, 2.0), 1, work.watch())
    assert work.order == ["naive", "fast"]
    assert raced.races[0].ratio.median == COUNTED_S


@pytest.mark.parametrize(("first_s", "turns"), [(LONG_S, 2), (LONG_S - 1, 3)], ids=["long", "shorter"])
def test_a_long_baseline_takes_fewer_turns(first_s: float, turns: int) -> None:
    work = Work()
    race(work.side("naive", first_s), work.side("fast", 1.0), 3, work.watch(), long_repeats=2)
    assert work.order == ["naive", "fast"] * turns


def test_the_ratio_is_the_median_of_the_pairs_ratios_not_the_ratio_of_medians() -> None:
    work = Work()
    naive, fast = work.side("naive", 2.0, 1.0, 2.0, 6.0), work.side("fast", 1.0, 0.5, 0.2, 2.0)
    (only,) = race(naive, fast, 3, work.watch()).races
    assert only.ratio.median == pytest.approx(3.0)  # of 1 / 0.5, 2 / 0.2, 6 / 2
    assert only.baseline_s.median / only.fast_s.median == 4.0


def test_a_lap_is_a_race_of_its_own() -> None:
    work = Work()
    naive, fast = work.side("naive", 8.0, lap_after=0.75), work.side("fast", 4.0, lap_after=0.25)
    first, whole = race(naive, fast, 2, work.watch()).races
    assert (first.baseline_s.median, first.fast_s.median, first.ratio.median) == (6.0, 1.0, 6.0)
    assert whole.ratio.median == 2.0


def test_short_work_is_done_as_often_as_makes_a_sample_and_its_mean_counts() -> None:
    work = Work()
    short_s = LEAST_SAMPLE_S / 4
    raced = race(work.side("naive", 2.0), work.side("fast", 0.5, short_s, short_s * 2, 0.0, short_s), 1, work.watch())
    assert work.order == [
        "naive",
        "fast",
        "fast",
        "naive",
        *["fast"] * 4,
    ]  # the second call tells how long it takes warm
    assert raced.races[0].fast_s.median == pytest.approx(short_s)


def test_the_device_is_waited_for_before_the_clock_is_read() -> None:
    events: list[str] = []

    def clock() -> float:
        events.append("read")
        return 0.0

    Stopwatch(clock, lambda: events.append("settle")).once(lambda lap: lap())
    assert events == ["settle", "read"] * 3


def test_the_best_of_some_calls_leaves_the_first_out() -> None:
    work = Work()
    assert work.watch().best(work.side("probe", 0.1, 5.0, 3.0, 4.0), 3) == 3.0


def test_quartiles_are_those_of_the_measurements() -> None:
    assert Spread.of([1.0, 2.0, 3.0, 4.0, 100.0]) == Spread(median=3.0, low=2.0, high=4.0)
    assert Spread.of([7.0]) == Spread(7.0, 7.0, 7.0)


def test_measurements_without_a_partner_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        Race.of([1.0, 2.0], [1.0])
