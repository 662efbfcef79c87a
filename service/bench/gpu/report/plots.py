"""Plots of a GPU run: decode steps beside their floor, the service under load, memory over a minute.

`python -m service.bench.gpu.report.plots FOLDER` reads `gpu.json` and draws `gpu.png`, in a process of its own so that
drawing holds up nothing that is timed. Without matplotlib it draws nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

JSON_FILE, PLOT_FILE = "gpu.json", "gpu.png"
Outcomes = Sequence[Mapping[str, Any]]


def main(words: list[str]) -> int:
    """Draw the plots of a folder's `gpu.json`."""
    folder = Path(words[0])
    told = json.loads((folder / JSON_FILE).read_text(encoding="utf-8"))
    done = [each for each in told["outcomes"] if each["state"] == "done"]
    if find_spec("matplotlib") is not None:
        draw(done, folder / PLOT_FILE)
    return 0


def draw(done: Outcomes, file: Path) -> None:
    """Draw a row of panels: one for each geometry, then load and memory."""
    from matplotlib.figure import Figure

    parts = list(dict.fromkeys(each["part"] for each in done if each["part"].startswith("speed ")))
    figure = Figure(figsize=(4.2 * (len(parts) + 2), 4.0), layout="constrained")
    panels = figure.subplots(1, len(parts) + 2, squeeze=False)[0]
    for panel, part in zip(panels, parts, strict=False):
        _decode(panel, part, [each for each in done if each["part"] == part])
    _load(panels[-2], [each for each in done if each["part"] == "load"])
    _memory(panels[-1], [each["data"] for each in done if each["part"] == "soak" and "samples" in each["data"]])
    figure.savefig(file, dpi=110)


def _decode(panel: Axes, part: str, done: Outcomes) -> None:
    lines: dict[str, list[tuple[int, float]]] = {}
    floors: dict[int, float] = {}
    for each in done:
        if each["item"].startswith("decode "):
            data = each["data"]
            name = f"{'graphs' if data['graphs'] else 'eager'}, {data['attention']}"
            lines.setdefault(name, []).append((data["rows"], 1e3 * data["seconds"]))
            if data["attention"] == "projected":
                floors[data["rows"]] = 1e3 * data["floor_s"]
    for name, points in lines.items():
        panel.plot(*zip(*sorted(points), strict=True), marker="o", label=name)
    if floors:
        panel.plot(
            *zip(*sorted(floors.items()), strict=True), color="black", linestyle="--", label="roofline, projected"
        )
    panel.set(title=f"{part.removeprefix('speed ')}: a decode step", xlabel="rows", ylabel="ms", xscale="log")
    if lines:
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.legend(fontsize=7)


def _load(panel: Axes, done: Outcomes) -> None:
    for kind in ("new", "known"):
        points = sorted(
            (int(each["item"].split()[0]), each["data"]["answers_per_s"])
            for each in done
            if each["item"].endswith(f"clients, {kind} images")
        )
        if points:
            panel.plot(*zip(*points, strict=True), marker="o", label=f"{kind} images, streamed")
            panel.legend(fontsize=7)
    panel.set(title="The service under load", xlabel="clients", ylabel="captions/s", ylim=(0, None))


def _memory(panel: Axes, soaks: Sequence[Mapping[str, Any]]) -> None:
    for soak in soaks:
        for name, samples in soak["samples"].items():
            if samples:
                panel.plot([at for at, _ in samples], [held / 1e9 for _, held in samples], label=name)
                panel.legend(fontsize=7)
    panel.set(title="Memory in the soak", xlabel="s", ylabel="GB", ylim=(0, None))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
