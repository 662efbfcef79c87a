"""What a run leaves behind: tables on the terminal, and three files that say the same."""

from __future__ import annotations

import json
from importlib import util
from pathlib import Path

import pytest
from PIL import Image

from service.bench.agreement import Agreement
from service.bench.engine import EngineThroughput
from service.bench.report import Findings, draw_findings, print_findings, write_findings
from tests.support.bench_results import report, result

ENGINE = EngineThroughput("m", "cpu", "float32", 8, 10, 4, 32, 5.0, 300, 1.0, 1.0, 3.0)
ALIKE, UNLIKE = Agreement("tiny", "int8", 1_000, 990, 99.94, 98.9), Agreement("tiny", "int8", 300, 296, 99.0, 98.0)
FOUND = Findings(report(result(), result(rows=4, images=1), result(dtype="int8")), [ENGINE, ALIKE])


def test_json_markdown_and_plot_are_written_into_a_new_folder(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    for _ in range(2):  # whatever an unfinished run had written is replaced
        write_findings(FOUND, folder)
    draw_findings(FOUND, folder)
    assert {file.name for file in folder.iterdir()} == {"bench.json", "bench.md", "bench.png"}
    said = json.loads((folder / "bench.json").read_text())
    assert len(said["results"]) == 3
    assert said["engines"][0]["answers_per_s"] == 2.0
    (agreement,) = said["agreements"]
    assert (agreement["questions"], agreement["equal"], agreement["share"], agreement["met"]) == (1000, 990, 0.99, True)
    assert "engine without HTTP: 2.00 answers/s, 60.0 tokens/s" in (folder / "bench.md").read_text()
    assert "- tiny: int8 gives float32's answer to 99.0 % of 1,000" in (folder / "bench.md").read_text()
    with Image.open(folder / "bench.png") as image:
        assert image.width > 500


def test_without_matplotlib_or_results_there_is_no_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_findings(Findings(report(), [ENGINE]), tmp_path)
    monkeypatch.setattr(util, "find_spec", lambda _: None)
    draw_findings(FOUND, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_terminal_shows_a_table_for_each_format_and_all_lines_whole(capsys: pytest.CaptureFixture[str]) -> None:
    print_findings(FOUND)
    said = capsys.readouterr().out
    for each in (
        *("Pheye-x2-672 float32 ", "Pheye-x2-672 int8 ", "decode, 4 rows, one image", ">= 4.5x: met"),
        *("5.0x (5.0-5.0)", "50 % (memory)", "A Processor (avx2), 2 cores", ">= 9x: missed"),
        *("reads 12.0 GB/s", "a cached image takes 6,579,200 bytes", "engine without HTTP: 2.00 answers/s"),
    ):
        assert each in said
    assert said.count("Medians; ") == 1


def test_what_int8_does_to_answers_is_told_with_its_target(capsys: pytest.CaptureFixture[str]) -> None:
    print_findings(Findings(report(), [ALIKE, UNLIKE]))
    *_, met, missed = capsys.readouterr().out.splitlines()
    assert met == (
        "tiny: int8 gives float32's answer to 99.0 % of 1,000 of easy-VQA's test questions "
        "(99.9 % right in float32, 98.9 % in int8), >= 99 %: met"
    )
    assert "98.7 % of 300" in missed
    assert missed.endswith(">= 99 %: missed")


def test_results_that_differ_where_they_must_not_are_named() -> None:
    assert FOUND.wrong == []
    wrong = Findings(report(result(), result(agreement=0.5), result(dtype="int8", agreement=0.5)), [])
    assert wrong.wrong == ["Pheye-x2-672 float32: decode"]
