"""Figures that stand on two pages are the same on both."""

from __future__ import annotations

import re

from tests.support.pages import PAGES, ROOT

FIGURE = re.compile(r"\d[\d.,]* (?:%|s|ms)(?= |$)")


def rows(text: str) -> list[list[str]]:
    """The cells of every table's lines."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def figures(line: list[str]) -> list[str]:
    return [figure for cell in line[1:] for figure in FIGURE.findall(cell.replace("*", ""))]


def test_the_readmes_speed_is_that_of_the_page_about_performance() -> None:
    section = PAGES["README.md"].partition("## Speed")[2].partition("\n## ")[0]
    measured = [set(figures(line)) for line in rows(PAGES["docs/performance.md"])]
    shown = [figures(line) for line in rows(section) if figures(line)]
    assert len(shown) >= 3
    for line in shown:
        assert any(set(line) <= known for known in measured), line


def test_the_readmes_throughput_is_that_of_the_page_about_performance() -> None:
    (line,) = (line for line in rows(PAGES["README.md"]) if line[0].startswith("throughput"))
    baseline, pheye = re.findall(r"([\d.]+) answers/s", " ".join(line))
    (clients,) = re.findall(r"(\d+) clients", line[0])
    assert [clients, pheye, baseline] in [line[:3] for line in rows(PAGES["docs/performance.md"])]


def test_the_model_card_and_the_page_about_models_tell_the_same_scores() -> None:
    card = (ROOT / "model/weights/pheye-tiny/README.md").read_text(encoding="utf-8")
    on_card = [figures(line) for line in rows(card) if figures(line)]
    on_page = [figures(line)[:1] for line in rows(PAGES["docs/models.md"]) if figures(line)]
    assert len(on_card) == 13
    assert on_card == on_page
