"""The planner: nobody starves, no slot is given twice, first come first served among equals."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from model.pixels.tiles import ImageKey
from model.request import TileSpan
from service.worker.scheduling.scheduler import Admission, StepPlan, plan

TILES = 5
ROWS = st.lists(st.integers(0, 6), max_size=12).map(
    lambda images: {str(number): ImageKey(f"image{image}") for number, image in enumerate(images)}
)


@st.composite
def situations(draw: st.DrawFn) -> tuple[dict[str, ImageKey], dict[ImageKey, int], list[int], int, int]:
    rows = draw(ROWS)
    images = sorted(set(rows.values()))
    encoded = {image: draw(st.integers(0, TILES)) for image in images if draw(st.booleans())}
    free = draw(st.lists(st.integers(0, 7), unique=True, max_size=8))
    return rows, encoded, free, draw(st.integers(0, 20)), draw(st.integers(0, 8))


@given(situations())
def test_a_plan_keeps_its_budgets_and_gives_no_slot_or_tile_twice(situation) -> None:
    rows, encoded, free, tiles, prompts = situation
    made = plan(rows, encoded, TILES, free, tiles, prompts)
    slots = [admission.slot for admission in made.admit]
    assert len(set(slots)) == len(slots) <= prompts
    assert set(slots) <= set(free)
    assert sum(span.stop - span.start for span in made.encode) <= tiles
    assert len({span.image_key for span in made.encode}) == len(made.encode)
    for span in made.encode:
        assert encoded[span.image_key] == span.start < span.stop <= TILES


@given(situations())
def test_only_rows_with_complete_features_are_admitted_and_the_earlier_ones_first(situation) -> None:
    rows, encoded, free, tiles, prompts = situation
    made = plan(rows, encoded, TILES, free, tiles, prompts)
    reached = encoded | {span.image_key: span.stop for span in made.encode}
    ready = [row_id for row_id, image_key in rows.items() if reached.get(image_key) == TILES]
    assert [admission.id for admission in made.admit] == ready[: min(len(free), prompts)]


@given(situations())
def test_tiles_go_to_the_image_of_the_oldest_row_first(situation) -> None:
    rows, encoded, free, tiles, prompts = situation
    made = plan(rows, encoded, TILES, free, tiles, prompts)
    unfinished = list(dict.fromkeys(image_key for image_key in rows.values() if encoded.get(image_key, TILES) < TILES))
    assert [span.image_key for span in made.encode] == unfinished[: len(made.encode)]
    if tiles and unfinished:
        assert made.encode[0].image_key == unfinished[0]
        assert all(span.stop == TILES for span in made.encode[:-1])


@given(ROWS, st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 6))
def test_every_row_is_admitted_after_boundedly_many_steps(
    rows: dict[str, ImageKey], tiles: int, slots: int, prompts: int, lifetime: int
) -> None:
    """Nobody starves and no slot leaks: with finite answers, everyone has been admitted in the end."""
    waiting, encoded = dict(rows), dict.fromkeys(rows.values(), 0)
    running: dict[int, int] = {}
    bound = len(rows) * (TILES + lifetime + 1) + 1
    for _ in range(bound):
        running = {slot: left - 1 for slot, left in running.items() if left > 1}
        free = [slot for slot in range(slots) if slot not in running]
        made = plan(waiting, encoded, TILES, free, tiles, prompts)
        for span in made.encode:
            encoded[span.image_key] = span.stop
        for admission in made.admit:
            running[admission.slot] = lifetime
        admitted = {admission.id for admission in made.admit}
        waiting = {row_id: image_key for row_id, image_key in waiting.items() if row_id not in admitted}
    assert not waiting


def test_a_cached_image_overtakes_one_that_must_be_encoded_but_takes_no_tiles_from_it() -> None:
    rows = {"slow": ImageKey("new"), "quick": ImageKey("cached")}
    made = plan(rows, {"new": 0, "cached": TILES}, TILES, [3], tile_budget=2, admit_budget=1)
    assert made == StepPlan((TileSpan("new", 0, 2),), (Admission("quick", 3),))


@given(situations(), st.lists(st.integers(10, 15).map(lambda number: f"image{number}"), unique=True, max_size=4))
def test_prefetching_changes_nothing_for_those_who_wait(situation, prefetch: list[str]) -> None:
    rows, encoded, free, tiles, prompts = situation
    without = plan(rows, encoded, TILES, free, tiles, prompts)
    made = plan(rows, encoded | dict.fromkeys(prefetch, 0), TILES, free, tiles, prompts, prefetch, prefetch_budget=2)
    if without != StepPlan():
        assert made == without
    else:
        assert sum(span.stop - span.start for span in made.encode) == (2 if prefetch else 0)
