"""The worked sum of a server's memory: every part has a bound, and the sum is theirs."""

from __future__ import annotations

import re

from model.config import named_geometry
from service.cli.dev.docs.memory import MODELS, memory
from service.machine.memory import parts


def test_the_table_adds_up() -> None:
    *rows, last = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in memory().splitlines()[2:]]
    for column in range(2, 2 + len(MODELS)):
        sizes = [float(re.sub(r"[ ,MB]", "", row[column])) for row in [*rows, last]]
        assert abs(sum(sizes[:-1]) - sizes[-1]) <= len(rows) / 2  # each is rounded


def test_a_larger_model_takes_more_where_a_model_counts_and_nowhere_else() -> None:
    small, large = (list(parts(named_geometry(name), "bfloat16")) for name in ("Pheye-x4-448", "Pheye-x4-672"))
    grown = {part.what for part, other in zip(large, small, strict=True) if part.size_mb > other.size_mb}
    assert grown == {"slots", "features of waiting requests", "tiles of waiting requests"}
    assert [part.what for part in small] == [part.what for part in large]
