"""Records of how weights were made: each told once in a file, and whole again when it is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model.checkpoint.sources import RECORD, CheckpointError
from model.training.artifacts.records import read_record, told_once, told_whole

START = {"seed": 0, "before": None}
FIRST = {"seed": 1, "before": START}
SECOND = {"seed": 2, "before": FIRST}


def mean(*records: dict[str, Any] | None) -> dict[str, Any]:
    return {"averaged": [{"model": f"runs/{index}", "training": each} for index, each in enumerate(records)]}


@pytest.mark.parametrize(
    "record",
    [{}, SECOND, mean(FIRST, SECOND), mean(SECOND, FIRST, FIRST), mean(None, FIRST), mean(mean(FIRST, SECOND), SECOND)],
    ids=["nothing", "a run after a run", "a run and its start", "the start twice", "no record", "a mean of a mean"],
)
def test_a_record_is_whole_again_when_it_is_read(tmp_path: Path, record: dict[str, Any]) -> None:
    (tmp_path / RECORD).write_text(json.dumps(told_once(record)))
    assert read_record(tmp_path) == record


def test_what_comes_again_is_a_pointer_to_where_it_is_told() -> None:
    record = mean(FIRST, {"seed": 3, "before": mean(SECOND, FIRST)})
    short = told_once(record)
    begun = short["averaged"][1]["training"]["before"]
    assert begun["averaged"][0]["training"] == {"seed": 2, "before": {"the_same_as": "/averaged/0/training"}}
    assert begun["averaged"][1]["training"] == {"the_same_as": "/averaged/0/training"}
    assert json.dumps(short).count('"seed": 0') == 1
    assert record == mean(FIRST, {"seed": 3, "before": mean(SECOND, FIRST)}), "what was given is as it was"


def test_a_pointer_that_leads_nowhere_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text(json.dumps({"before": {"the_same_as": "/averaged/7/training"}}))
    with pytest.raises(CheckpointError, match=r"training\.json.*/averaged/7/training"):
        read_record(tmp_path)


def test_a_folder_without_a_record_has_none(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None


def test_each_generation_of_means_adds_its_own_length_alone() -> None:
    record: dict[str, Any] = START
    for seed in range(60):  # written out it would be told a quintillion times
        record = told_whole(json.loads(json.dumps(told_once(mean(record, {"seed": seed, "before": record})))))
    assert len(json.dumps(told_once(record))) < 100_000


@pytest.mark.parametrize("text", ["[]", '"mean"', '{"before": "mean"}', '{"averaged": [7]}', "{", "[" * 100_000])
def test_what_is_no_record_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(CheckpointError, match=r"training\.json: cannot be read"):
        read_record(tmp_path)
