"""The table of the chaos tests shows what was done and how it ended, and no broken promise is written down."""

from __future__ import annotations

import json

import pytest

from service.cli.dev.docs.reliability import REPORT, chaos
from tests.chaos import all_scenarios
from tests.support.pages import ROOT

ROW = {
    "name": "kills", "promise": "It goes on", "violence": "2 kills", "share": 1.0, "result": "fine", "holds": True,
    "took_s": 1.0, "machine": "2 cores", "commit": "abc", "date": "2026-11-26",
}  # fmt: skip


def table_of(tmp_path, *rows):
    file = tmp_path / REPORT
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(rows))
    return chaos(tmp_path)


def test_a_line_says_how_much_of_the_violence_was_done(tmp_path):
    text = table_of(tmp_path, ROW, ROW | {"name": "more", "share": 0.1})
    assert "| It goes on | 2 kills | fine | 2 cores | `abc`, 2026-11-26 |" in text
    assert "2 kills (here 10% of it)" in text


def test_a_broken_promise_is_not_written_down(tmp_path):
    with pytest.raises(ValueError, match="did not hold: kills"):
        table_of(tmp_path, ROW | {"holds": False})


def test_the_report_is_about_scenarios_that_exist():
    known = {scenario.name: scenario for scenario in all_scenarios()}
    for row in json.loads((ROOT / REPORT).read_text(encoding="utf-8")):
        assert row["promise"] == known[row["name"]].promise
        assert row["violence"] == known[row["name"]].violence
