"""Results: what follows from them, and their JSON."""

from __future__ import annotations

import json

import pytest

from tests.support.bench_results import report, result


def test_shares_and_rates_are_the_fast_paths_median() -> None:
    found = result(tokens=8)
    assert (found.share_of_ceiling, found.tokens_per_s) == (0.5, 8.0)


@pytest.mark.parametrize(
    ("dtype", "agreement", "wrong"),
    [
        ("float32", 1.0, False),
        ("float32", 0.99995, False),
        ("float32", 0.9998, True),
        ("float32", float("nan"), True),
        ("bfloat16", 0.5, False),
        ("int8", 0.5, False),
    ],
)
def test_only_float32_has_to_agree(dtype: str, agreement: float, wrong: bool) -> None:
    assert result(dtype=dtype, agreement=agreement).wrong is wrong


def test_a_report_is_json_with_a_schema_version_and_what_else_was_measured() -> None:
    made = report(result(tokens=2), result(dtype="int8"))
    said = json.loads(json.dumps(made.as_json({"engines": [1]})))
    assert said["schema_version"] == 1
    assert said["commit"] == "0123abc"
    assert said["machine"]["cpu"] == "A Processor"
    assert said["engines"] == [1]
    (section,) = said["sections"]
    assert (section["model"], section["work"], section["repeats"]) == ("random:Pheye-x2-672", {"decode": [1]}, 5)
    first, _ = said["results"]
    assert first["race"]["ratio"] == {"median": 5.0, "low": 5.0, "high": 5.0}
    assert (first["fast_tokens_per_s"], first["baseline_tokens_per_s"], first["share_of_ceiling"]) == (2.0, 0.4, 0.5)
    assert [each["met"] for each in said["targets"]] == [True, False]
    assert said["ceilings"][0]["probes"] == {"sum_bytes_per_s": 12e9}
    assert said["cached_images"][0]["cached_bytes"] == said["cached_images"][0]["formula_bytes"]
