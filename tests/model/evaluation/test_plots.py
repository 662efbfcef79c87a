"""Plots: files of the promised kind that show what the tables say."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from model.evaluation.attention import LayerMean
from model.evaluation.plots import PlotError, check_plot, plot_changes, plot_shares
from model.evaluation.tertiles import ScoreChange

CHANGES = [
    ScoreChange("VQA accuracy", "all", 30, 40.0, 50.0),
    ScoreChange("VQA accuracy", "fine", 10, 0.0, 20.0),
    ScoreChange("VQA accuracy", "medium", 10, 50.0, 60.0),
    ScoreChange("VQA accuracy", "broad", 10, 70.0, 70.0),
]
MEANS = [
    LayerMean(tertile, layer, 5, share)
    for tertile, shares in (("all", (0.5, 0.25)), ("fine", (0.3, 0.2)), ("medium", (0.5, 0.3)), ("broad", (0.7, 0.4)))
    for layer, share in zip((3, 7), shares, strict=True)
]


def texts(svg: Path) -> str:
    return " ".join(node.text or "" for node in ElementTree.parse(svg).iter() if node.text)


def draw(file: Path, what: str) -> None:
    if what == "changes":
        plot_changes(CHANGES, ("low", "high"), file)
    else:
        plot_shares(MEANS, "a-model", file)


@pytest.mark.parametrize("what", ["changes", "shares"])
def test_a_png_has_something_on_it(what: str, tmp_path: Path) -> None:
    draw(tmp_path / "plot.png", what)
    with Image.open(tmp_path / "plot.png") as image:
        assert image.width > 500
        assert len(image.convert("RGB").getcolors(1 << 24) or ()) > 20


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("changes", ["VQA accuracy", "low", "high", "+25.0 %", "+20.0 %", "+0.0 %", "fine", "broad"]),
        ("shares", ["a-model", "fine (5)", "decoder layer", "share of attention on the global view"]),
    ],
)
def test_a_drawing_says_what_it_shows(what: str, words: list[str], tmp_path: Path) -> None:
    import matplotlib as mpl

    with mpl.rc_context({"svg.fonttype": "none"}):
        draw(tmp_path / "plot.svg", what)
    said = texts(tmp_path / "plot.svg")
    for each in words:
        assert each in said


def test_a_plot_of_another_kind_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(PlotError, match=r"a plot is written as .png, .svg, .pdf"):
        check_plot(tmp_path / "plot.gif")


def test_without_matplotlib_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(PlotError, match=r"pip install 'pheye-service\[train\]'"):
        plot_shares(MEANS, "a-model", tmp_path / "plot.png")
