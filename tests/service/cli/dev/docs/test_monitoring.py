"""The page about monitoring: every metric, alert and panel, and no template of Prometheus's left in the words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from service.cli.dev.docs import monitoring
from service.metrics.service_metrics import metric_rows
from tests.support.promql import ALERTS

ROOT = Path(__file__).parents[5]


def test_every_metric_has_a_line() -> None:
    made = monitoring.metrics()
    for row in metric_rows():
        assert made.count(f"\n| `{row.name}` | {row.type} |") == 1


def test_every_alert_has_a_section_with_its_expression() -> None:
    made = monitoring.alerts(ROOT)
    for rule in ALERTS:
        assert f"### {rule['alert']}\n" in made
        assert rule["expr"].strip() in made
    assert "{{" not in made


def alerts_of(folder: Path, **rule: object) -> str:
    rule = {
        "alert": "TooHot", "expr": "heat > 1", "labels": {"severity": "warning"},
        "annotations": {"summary": "Hot", "description": "Cool it."}, **rule,
    }  # fmt: skip
    (folder / "docker").mkdir()
    (folder / "docker/alerts.yml").write_text(yaml.safe_dump({"groups": [{"rules": [rule]}]}))
    (folder / "docker/slo.yml").write_text(yaml.safe_dump({"groups": []}))
    return monitoring.alerts(folder)


def test_a_section_says_how_long_it_lasts_how_severe_it_is_and_what_to_do(tmp_path: Path) -> None:
    made = alerts_of(tmp_path, **{"for": "5m"})
    assert made == (
        "### TooHot\n\n**Hot.** Severity: warning. Fires when, for 5m:\n\n```promql\nheat > 1\n```\n\nCool it."
    )


def test_a_recorded_ratio_has_one_line_with_all_its_windows() -> None:
    made = monitoring.recorded(ROOT)
    assert "| `job:pheye_request_errors:ratio_rateWINDOW` | 5m, 30m, 1h, 2h, 6h, 1d, 3d |" in made
    assert made.count("ratio_rateWINDOW") == 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{{ $value | humanize }} of them", "*value* of them"),
        ("On {{ $labels.instance }}.", "On *instance*."),
        ("{{ with $labels.instance }}{{ . }}{{ else }}any container{{ end }} is", "*instance* is"),
    ],
    ids=["value", "label", "label or something else"],
)
def test_templates_become_the_names_of_what_they_stand_for(text: str, shown: str, tmp_path: Path) -> None:
    assert alerts_of(tmp_path, annotations={"summary": "Hot", "description": text}).endswith(f"\n\n{shown}")


def test_every_panel_of_the_dashboard_has_a_line_below_its_row() -> None:
    made = monitoring.dashboard(ROOT)
    panels = json.loads((ROOT / "docker/grafana/dashboards/pheye.json").read_text())["panels"]
    for panel in panels:
        start = f"### {panel['title']}\n" if panel["type"] == "row" else f"\n| {panel['title']} | "
        assert start in made
    assert made.count("\n| ") == sum(2 if panel["type"] == "row" else 1 for panel in panels)
