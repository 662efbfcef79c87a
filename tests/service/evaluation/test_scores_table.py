"""The table of scores as it is printed."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from model.evaluation.scoring import METRICS, Score
from service.evaluation.run import print_scores


@pytest.mark.parametrize(("cases", "is_told"), [(1, True), (2, False)])
def test_why_cider_of_one_image_is_zero_is_told(cases: int, is_told: bool) -> None:
    console = Console(file=io.StringIO(), width=120)
    print_scores([Score(METRICS["cider"], "", cases, 0.0)], console)
    assert isinstance(console.file, io.StringIO)
    assert ("CIDEr-D of a single image is 0" in console.file.getvalue()) == is_told
