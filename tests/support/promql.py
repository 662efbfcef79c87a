"""What the alerts and the dashboard ask Prometheus for, and which metrics those questions name."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.metrics.service_metrics import metric_rows

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
DASHBOARD: dict[str, Any] = json.loads((DOCKER / "grafana/dashboards/pheye.json").read_text(encoding="utf-8"))
RULE_FILES = ("alerts.yml", "slo.yml")
WATCHDOG = "PheyeWatchdog"  # fires always
TROUBLE = f'ALERTS{{alertname!="{WATCHDOG}"}}'
RULES: list[dict[str, Any]] = [
    rule
    for name in RULE_FILES
    for group in yaml.safe_load((DOCKER / name).read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def panel_expressions() -> dict[str, str]:
    """Every query of the dashboard by panel and legend, with Grafana's own variables filled in."""
    named = {
        f"{panel['title']} {target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]
    } | {f"annotation {each['name']}": each["expr"] for each in DASHBOARD["annotations"]["list"]}
    filled = {"$__rate_interval": "1m", "$__range": "30m", "$instance": ".*"}
    for variable, value in filled.items():
        named = {name: text.replace(variable, value) for name, text in named.items()}
    return named


def alert_expressions() -> dict[str, str]:
    return {rule["alert"]: rule["expr"] for rule in ALERTS}


def recorded_expressions() -> dict[str, str]:
    return {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}


def recorded_series(expression: str) -> list[str]:
    """
    >>> recorded_series('job:errors:ratio_rate5m{job="a:b:c"} / pheye_slots')
    ['job:errors:ratio_rate5m']
    """
    return re.findall(r"\b\w+:\w+:\w+", re.sub(r'"[^"]*"', '""', expression))


def exported_series() -> dict[str, tuple[str, ...]]:
    """Every series name the service publishes, with its labels; a histogram is three of them."""
    series = {}
    for row in metric_rows():
        if row.type == "histogram":
            series |= {row.name + "_bucket": (*row.labels, "le")}
            series |= {row.name + suffix: row.labels for suffix in ("_sum", "_count")}
        else:
            series[row.name] = row.labels
    return series


def named_series(expression: str) -> list[str]:
    """
    >>> named_series('sum by (le) (rate(pheye_a_bucket[1m])) / pheye_slots{job="pheye_x"}')
    ['pheye_a_bucket', 'pheye_slots']
    """
    return re.findall(r"(?<![\w:])pheye_\w+", re.sub(r'"[^"]*"', '""', expression))


def selectors(expression: str) -> list[tuple[str, str, str]]:
    """
    >>> selectors('a{x="1", y=~"2.."} > pheye_b{z!="3"}')
    [('a', 'x', '1'), ('a', 'y', '2..'), ('pheye_b', 'z', '3')]
    """
    return [
        (name, label, value)
        for name, inside in re.findall(r"(\w+)\{([^}]*)\}", expression)
        for label, value in re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', inside)
    ]


def program(name: str) -> str:
    """The path of an installed program; without it a test is skipped, but on CI it fails."""
    path = shutil.which(name)
    if path is None:
        message = f"{name} is not installed; on Debian it is in the package prometheus"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return path
