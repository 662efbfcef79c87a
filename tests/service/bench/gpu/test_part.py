"""A part's processes: what an item does to itself it does to nobody else."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from model.bench.gpu.item import PartInput
from service.bench.gpu.journal import ItemJournal, ItemOutcome
from service.bench.gpu.part import Part, PartRun


def outcomes(folder: Path, module: str, seconds: float = 60.0) -> list[ItemOutcome]:
    with (folder / "log.txt").open("wb", buffering=0) as log:
        part = PartRun(Part("p", module, 1.0), folder / "journal.jsonl", log)
        return list(part.outcomes(PartInput("cpu", seconds=seconds)))


@pytest.fixture(scope="module")
def misbehaved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ItemOutcome]:
    found = outcomes(tmp_path_factory.mktemp("part"), "tests.support.gpu_items")
    assert [each.item for each in found] == [
        "good",
        "missing",
        "wrong",
        "raises",
        "dies",
        "hangs",
        "good after all",
    ]
    return {each.item: each for each in found}


@pytest.mark.parametrize(
    ("item", "state", "words"),
    [
        pytest.param("good", "done", "", id="good"),
        pytest.param("missing", "not available", "there is no such thing", id="missing"),
        pytest.param("wrong", "done", "", id="wrong"),
        pytest.param("raises", "failed", "KeyError: 'nothing'", id="raises"),
        pytest.param("dies", "crashed", "its process ended with -9", id="dies"),
        pytest.param("hangs", "timed out", "it hung", id="hangs"),
        pytest.param("good after all", "done", "", id="after the others"),
    ],
)
def test_each_item_is_reported_as_what_it_came_to(
    misbehaved: dict[str, ItemOutcome], item: str, state: str, words: str
) -> None:
    assert (misbehaved[item].state, misbehaved[item].why) == (state, words)


def test_what_a_done_item_returned_is_kept(misbehaved: dict[str, ItemOutcome]) -> None:
    assert misbehaved["good"].data == {"device": "cpu"}
    assert misbehaved["wrong"].data["verdict"] == "failed"
    assert 0 < misbehaved["good after all"].data["seconds"] < 60.0


def test_a_part_that_cannot_be_imported_has_crashed_and_says_why_in_the_log(tmp_path: Path) -> None:
    (found,) = outcomes(tmp_path, "tests.support.no_such_module")
    assert (found.item, found.state) == ("p", "crashed")
    assert "no_such_module" in (tmp_path / "log.txt").read_text()


def test_a_part_without_time_is_not_reached(tmp_path: Path) -> None:
    assert [each.state for each in outcomes(tmp_path, "tests.support.gpu_items", 1.0)] == ["not reached"]


def test_an_item_that_is_under_way_when_the_time_is_over_is_not_reached_rather_than_wrong(tmp_path: Path) -> None:
    with (tmp_path / "log.txt").open("wb", buffering=0) as log:
        part = PartRun(Part("p", "tests.support.gpu_slow", 1.0), tmp_path / "journal.jsonl", log)
        found = list(part.outcomes(PartInput("cpu", seconds=20.0), time.monotonic() + 8.0))
    assert [(each.item, each.state) for each in found] == [("slow", "not reached"), ("later", "not reached")]


def test_a_line_that_is_half_written_is_news_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    reader, other = ItemJournal(path, "a"), ItemJournal(path, "b")
    ItemJournal(path, "a").begin("one", 1.0)
    other.begin("not ours", 1.0)
    with path.open("a") as file:
        file.write('{"part": "a", "ended"')
    assert [line["began"] for line in reader.news()] == ["one"]
    with path.open("a") as file:
        file.write(': "one"}\n')
    assert [line["ended"] for line in reader.news()] == ["one"]
