"""Tables: a line for each load, a column only for what is known."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from loadtest.loops import OpenLoop
from loadtest.report.results import ratios, rows
from loadtest.report.tables import WIDTH, point_words, print_ratios, print_rows
from loadtest.sweep import LoadMeasurement
from tests.loadtest.report.test_results import POINTS, load, point, summary


def printed(points: list[LoadMeasurement]) -> str:
    out = Console(file=StringIO(), width=WIDTH)
    print_rows(list(rows(points)), out)
    print_ratios(ratios(points), out)
    assert isinstance(out.file, StringIO)
    return out.file.getvalue()


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("│").split("│")]


def test_a_load_is_a_line_with_its_medians_and_the_range_of_its_throughput() -> None:
    lines = [cells(line) for line in printed(POINTS).splitlines() if "│ ours  " in line and "2 clients" not in line]
    assert lines[0] == ["ours", "1 clients", "0.5 (0.25 to 1)", "4", "2", "2", "2", "2", "0", "0"]


def test_ratios_have_their_own_table() -> None:
    text = printed(POINTS)
    assert "Ratios" in text
    (line,) = [cells(line) for line in text.splitlines() if "ours / theirs" in line and "1 clients" in line]
    assert line[2] == "3 (2 to 4)"


def test_one_server_has_no_table_of_ratios() -> None:
    assert "Ratios" not in printed(POINTS[:1])


def test_columns_of_which_nothing_is_known_are_left_out() -> None:
    text = printed(
        [LoadMeasurement("a", 0, load(hits=0.5, loop=OpenLoop(2.5)), summary(1.0, first_text_s=1.0, cached=True))]
    )
    assert "2.5 arrivals/s, 50% hits" in text
    for heading in ("1st text s", "late s", "cached"):
        assert heading in text
        assert heading not in printed(POINTS)
    assert "s/answer" not in text


def test_the_line_that_follows_a_load_says_what_was_lost() -> None:
    assert point_words(point("a", 0, 0.5)) == "a, 1 clients: 2 answers/s, p50 0.5 s"
    lost = point_words(point("a", 0, 0.5, status="ReadError"))
    assert lost == "a, 1 clients: 0 answers/s, nothing answered; 4 lost: {'ReadError': 4}"
