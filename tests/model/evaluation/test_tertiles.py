"""Tertiles: a third of the cases each by area, and how two runs differ on them (Table 2 of the paper)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.evaluation.tertiles import NotComparable, ScoreChange, changes, tertiles
from tests.support.datasets import answered, case


@given(st.lists(st.floats(0.001, 1.0), min_size=3, max_size=50))
def test_tertiles_are_of_equal_size_and_in_the_order_of_areas(areas: list[float]) -> None:
    by_name = {str(index): area for index, area in enumerate(areas)}
    found = tertiles(by_name)
    sizes = Counter(found.values())
    assert max(sizes.values()) - min(sizes.values()) <= 1
    assert set(sizes) == {"fine", "medium", "broad"}
    largest = {name: max(by_name[each] for each, tertile in found.items() if tertile == name) for name in sizes}
    assert largest["fine"] <= largest["medium"] <= largest["broad"]


def test_cases_of_one_size_are_divided_the_same_way_every_time() -> None:
    areas = dict.fromkeys("fbdaec", 0.5)
    assert tertiles(areas) == tertiles(dict(reversed(areas.items())))


def test_the_change_is_told_for_all_and_for_each_tertile() -> None:
    asked = [case(f"{index:02}", area=0.01 * (1 + index)) for index in range(12)]
    unknown = [case("x"), case("y")]
    before = [answered(each, "yes" if index % 2 else "no") for index, each in enumerate(asked + unknown)]
    after = [answered(each, "yes" if index < 4 or index % 2 else "no") for index, each in enumerate(asked)]
    found = changes(before, [*reversed(after), *(answered(each, "no") for each in unknown)])
    assert found == [
        ScoreChange("exact match", "all", 12, 50.0, pytest.approx(100 * 8 / 12)),  # type: ignore[arg-type]
        ScoreChange("exact match", "fine", 4, 50.0, 100.0),
        ScoreChange("exact match", "medium", 4, 50.0, 50.0),
        ScoreChange("exact match", "broad", 4, 50.0, 50.0),
    ]
    assert [each.relative for each in found] == [pytest.approx(100 / 3), 100.0, 0.0, 0.0]


def test_each_metric_has_tertiles_of_its_own() -> None:
    small = [case(f"s{index}", "sign", area=0.001 * (index + 1), says="EXIT") for index in range(3)]
    large = [case(f"l{index}", "count", area=0.1 * (index + 1), says="3") for index in range(3)]
    run = [answered(each, "3") for each in small + large]
    found = changes(run, run)
    assert [(each.metric, each.tertile, each.cases, each.after) for each in found if each.tertile != "all"] == [
        *(("signs read", tertile, 1, 0.0) for tertile in ("fine", "medium", "broad")),
        *(("counting", tertile, 1, 100.0) for tertile in ("fine", "medium", "broad")),
    ]
    assert found[0].relative is None, "nothing was right before, so there is no relative change"


def test_a_metric_that_knows_no_areas_does_not_hide_the_others() -> None:
    sized = [case(f"s{index}", "sign", area=0.1 * (index + 1), says="EXIT") for index in range(3)]
    run = [answered(each, "EXIT") for each in [case("c", "count", says="3"), *sized]]
    assert {each.metric for each in changes(run, run)} == {"signs read"}


def test_captions_are_scored_over_all_of_a_run_and_then_divided() -> None:
    asked = [case(name, "cider", area=0.1 * (1 + place), says=f"{name} a b c") for place, name in enumerate("xyz")]
    run = [answered(each, f"{each.id} a b c") for each in asked]
    assert [each.after for each in changes(run, run)] == pytest.approx([1000.0] * 4)


AREAS = [case(name, area=0.1) for name in "abc"]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (AREAS, AREAS[:2], "case c was answered in one run only"),
        (AREAS[:2], AREAS[:2], "no metric has 3 cases whose area is known"),
        ([case(name) for name in "abc"], [case(name) for name in "abc"], "no metric has 3 cases whose area is known"),
        (AREAS, [*AREAS[:2], replace(AREAS[2], references=("no",))], "case c is not the same in both runs"),
    ],
    ids=["one is missing", "too few", "no areas", "other references"],
)
def test_runs_that_cannot_be_compared_are_named(before: list, after: list, words: str) -> None:
    with pytest.raises(NotComparable, match=words):
        changes([answered(each) for each in before], [answered(each) for each in after])
