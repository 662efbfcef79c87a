"""The table: a cell for everything that was found, in terminals and in Markdown alike."""

from __future__ import annotations

from dataclasses import replace

from model.bench.result import CachedImage
from model.bench.table import HEAD, cached, machine, markdown, rows
from tests.support.bench_results import MACHINE, report, result


def cells(**other: object) -> dict[str, str]:
    made = report(result(**other))
    (line,) = rows(made.results, made.verdicts)
    return dict(zip(HEAD, line, strict=True))


def test_a_line_tells_times_ratio_target_and_ceiling() -> None:
    assert cells() == {
        "model": "Pheye-x2-672",
        "format": "float32",
        "work": "decode",
        "baseline": "5 s",
        "fast path": "1 s",
        "ratio": "5.0x (5.0-5.0)",
        "target": ">= 4.5x: met",
        "tokens/s": "1.0",
        "of ceiling": "50 % (memory)",
        "agreement": "1.0000",
        "memory": "2.00 GB",
    }


def test_a_missed_target_and_a_wrong_result_are_said() -> None:
    line = cells(agreement=0.875)
    assert line["target"] == ">= 4.5x: missed"
    assert line["agreement"] == "0.8750 WRONG"
    assert cells(agreement=0.875, dtype="int8")["agreement"] == "0.8750"


def test_encoding_makes_no_tokens_and_what_has_no_target_says_nothing() -> None:
    line = cells(workload="encode", tokens=0, rows=2, images=2)
    assert (line["work"], line["tokens/s"], line["target"]) == ("encode, 2 images", "", "")


def test_markdown_has_the_table_the_machine_and_everything_else() -> None:
    text = markdown(report(result(), result(dtype="int8")), ["engine: 3 answers/s"])
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 4
    assert {line.count("|") for line in table} == {len(HEAD) + 1}
    for said in (
        "A Processor (avx2), 2 cores, 2 threads, 24 GB, torch 2.7.0.",
        "Commit 0123abc.",
        "- Pheye-x2-672 float32: reads 12.0 GB/s, multiplies 100 GFLOP/s",
        "- Pheye-x2-672 float32: a cached image takes 6,579,200 bytes, its features 6,579,200: met",
        "- engine: 3 answers/s",
    ):
        assert said in text.splitlines()


def test_an_image_that_takes_more_than_it_should_misses() -> None:
    assert cached(CachedImage("m", "float32", 20, 10)).endswith("takes 20 bytes, its features 10: missed")


def test_a_gpu_is_named_first() -> None:
    assert machine(replace(MACHINE, accelerator="A GPU", flags=())).startswith("A GPU, A Processor, 2 cores")
