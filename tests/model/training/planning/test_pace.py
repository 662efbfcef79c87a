"""The pace that is announced before a run: which of the measured passes count."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from model.training.planning import pace


@pytest.mark.parametrize(
    ("compiled", "laps", "expected"),
    [
        (False, [0.9, 1.0, 1.0, 1.2], 3.2 / 3),
        (False, [20.0, 1.0, 1.0], 20.0),
        (True, [60.0, 50.0, 1.4, 1.0, 30.0, 1.2, 1.1, 1.3, 1.0], 4.6 / 4),
        (True, [0.8], 0.8),
    ],
    ids=["without the first", "one pass is all there is time for", "those that compile do not count", "one image"],
)
def test_passes_that_warm_up_or_compile_do_not_count(monkeypatch, compiled, laps, expected):
    step = SimpleNamespace(update=lambda *_: None)
    monkeypatch.setattr(pace, "_passes", lambda *_: iter([(seconds, 5) for seconds in laps]))
    loader = SimpleNamespace(draws=lambda _: [0])
    found = pace.measured_pace(cast(Any, step), cast(Any, None), cast(Any, loader), None, compiled)
    assert found.step_s == pytest.approx(expected, rel=0.01)
