"""The plot: a bar for every result, and the words that say which."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
from PIL import Image

from model.bench.plots import plot_report
from model.bench.timing import Race
from tests.support.bench_results import report, result

RUN = report(result(), result(dtype="int8"), result(dtype="bfloat16", race=Race.of([1.0], [2.0])))


def test_formats_have_colours_of_their_own(tmp_path: Path) -> None:
    plot_report(RUN, tmp_path / "bench.png")
    with Image.open(tmp_path / "bench.png") as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20) or []}
    assert {(0x00, 0x72, 0xB2), (0xE6, 0x9F, 0x00), (0x00, 0x9E, 0x73)} <= colours


def test_bars_say_what_they_show(tmp_path: Path) -> None:
    with mpl.rc_context({"svg.fonttype": "none"}):
        plot_report(RUN, tmp_path / "bench.svg")
    said = " ".join(node.text or "" for node in ElementTree.parse(tmp_path / "bench.svg").iter() if node.text)
    for each in ("Pheye-x2-672 float32: decode", "5.0x", "0.5x", "A Processor", "% of the machine's ceiling"):
        assert each in said
