"""Plots: files that show what the tables say."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from PIL import Image

from loadtest.loops import OpenLoop
from loadtest.report.plots import NothingToPlot, check_plot, plot
from loadtest.report.results import ratios, rows
from loadtest.sweep import LoadMeasurement
from tests.loadtest.report.test_results import POINTS, load, summary


def texts(points: list[LoadMeasurement], file: Path) -> set[str]:
    with mpl.rc_context({"svg.fonttype": "none"}):
        plot(list(rows(points)), list(ratios(points)), file)
    return {(node.text or "").strip() for node in ElementTree.parse(file).iter()}


def test_a_comparison_shows_throughput_latency_cost_and_ratios_over_clients(tmp_path: Path) -> None:
    said = texts(POINTS, tmp_path / "report.svg")
    assert {"answers per second", "seconds to an answer", "server seconds per answer", "ratio", "clients"} <= said
    assert {"ours", "theirs", "ours p50", "ours p99", "theirs p90", "ours / theirs answers/s"} <= said
    assert {"1", "2"} <= said
    assert "tokens per second" not in said


def test_one_server_shows_its_tokens_in_the_place_of_ratios(tmp_path: Path) -> None:
    said = texts([each for each in POINTS if each.server == "ours"], tmp_path / "report.svg")
    assert "tokens per second" in said
    assert "ratio" not in said


def test_loads_that_differ_in_hits_alone_are_drawn_over_hits(tmp_path: Path) -> None:
    points = [LoadMeasurement("a", 0, load(4, hits), summary(1.0)) for hits in (0.0, 0.5, 0.9)]
    said = texts(points, tmp_path / "report.svg")
    assert {"share of hits", "0.5", "0.9", "a"} <= said
    assert "clients" not in said


def test_loads_that_differ_in_clients_and_hits_have_a_line_for_each_share_of_hits(tmp_path: Path) -> None:
    points = [LoadMeasurement("a", 0, load(clients, hits), summary(1.0)) for hits in (0.0, 0.5) for clients in (1, 4)]
    assert {"clients", "a", "a, 50% hits"} <= texts(points, tmp_path / "report.svg")


def test_streams_show_their_first_text_and_open_loops_what_the_engine_took(tmp_path: Path) -> None:
    told = replace(summary(1.0, first_text_s=0.5), engine_s_per_answer=0.25)
    points = [LoadMeasurement("a", 0, load(loop=OpenLoop(rate)), told) for rate in (1.0, 2.6)]
    assert {"arrivals/s", "a first text p50", "server seconds per answer"} <= texts(points, tmp_path / "report.svg")


def test_a_png_has_something_on_it(tmp_path: Path) -> None:
    plot(list(rows(POINTS)), list(ratios(POINTS)), tmp_path / "report.png")
    with Image.open(tmp_path / "report.png") as image:
        assert image.width > 1000
        assert len(image.convert("RGB").getcolors(1 << 24) or ()) > 50


def test_a_run_in_which_nothing_was_answered_can_be_drawn(tmp_path: Path) -> None:
    points = [LoadMeasurement("a", 0, load(clients), summary(1.0, status="500")) for clients in (1, 2)]
    assert {"a", "clients", "seconds to an answer"} <= texts(points, tmp_path / "report.svg")


def test_without_matplotlib_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(NothingToPlot, match=r"pip install 'pheye-service\[train\]'"):
        check_plot()
