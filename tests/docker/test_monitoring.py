"""The alerts, the dashboard and what Prometheus is told to scrape, as far as files can show; see test_prometheus.py."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from service.configuration.rows import setting_rows
from service.metrics.registry import SECONDS
from service.metrics.service_metrics import CLOSED_REASONS, DROP_REASONS, KILL_REASONS, metric_rows
from service.metrics.worker_metrics import PHASES
from tests.support.promql import (
    ALERTS,
    DASHBOARD,
    DOCKER,
    PANELS,
    ROOT,
    RULE_FILES,
    TROUBLE,
    WATCHDOG,
    alert_expressions,
    exported_series,
    named_series,
    panel_expressions,
    program,
    recorded_expressions,
    recorded_series,
    selectors,
)

EXPRESSIONS = alert_expressions() | panel_expressions() | recorded_expressions()
SERIES = exported_series() | {"ALERTS": ("alertname",)}
TARGET_LABELS = {"job", "instance", "service"}  # from docker/prometheus.yml, not from the service
KNOWN_VALUES = {
    ("pheye_requests_dropped_total", "reason"): DROP_REASONS,
    ("pheye_decoders_killed_total", "reason"): KILL_REASONS,
    ("pheye_connections_closed_total", "reason"): CLOSED_REASONS,
    ("pheye_step_seconds_count", "phase"): PHASES,
    ("pheye_step_seconds_sum", "phase"): PHASES,
    ("pheye_step_seconds_bucket", "phase"): PHASES,
}
DATASOURCE = yaml.safe_load((DOCKER / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
SCRAPE = yaml.safe_load((DOCKER / "prometheus.yml").read_text())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())

each_expression = pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS.keys())
each_alert = pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
each_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [program("promtool"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@each_expression
def test_an_expression_names_only_series_that_the_service_exports(expression):
    assert set(named_series(expression)) <= SERIES.keys()
    assert set(recorded_series(expression)) <= recorded_expressions().keys()


@each_expression
def test_an_expression_selects_and_groups_by_labels_that_exist(expression):
    for name, label, value in selectors(expression):
        assert label in {*SERIES.get(name, ()), *TARGET_LABELS}, f"{name} has no label {label}"
        assert value in KNOWN_VALUES.get((name, label), [value])
    labels = {label for name in named_series(expression) for label in SERIES[name]} | TARGET_LABELS
    for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
        assert {label.strip() for label in group.split(",")} <= labels


def test_every_metric_of_the_service_is_on_the_dashboard_or_in_an_alert():
    used = {name for expression in EXPRESSIONS.values() for name in named_series(expression)}
    for row in metric_rows():
        assert used & {row.name, row.name + "_bucket", row.name + "_sum"}, f"nobody looks at {row.name}"


@each_alert
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule):
    assert rule["labels"]["severity"] in ({"none"} if rule["alert"] == WATCHDOG else {"critical", "warning"})
    assert rule["annotations"].keys() == {"summary", "description"}
    assert len(rule["annotations"]["description"]) > 150


@each_alert
def test_what_an_alert_mentions_exists(rule):
    text = rule["annotations"]["description"]
    assert set(re.findall(r"PHEYE_\w+", text)) <= {row.variable for row in setting_rows()}
    assert set(re.findall(r"\bPheye[A-Z]\w+", text)) <= alert_expressions().keys()
    assert set(re.findall(r'panel "([^"]+)"', text)) <= {panel["title"] for panel in PANELS}
    assert set(re.findall(r"\b[A-Z]+_(?:LIMIT|KEY)\b", text)) <= set(
        re.findall(r"^#(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    )


def test_the_latency_objective_is_a_bucket_boundary_so_that_its_quantile_is_exact_there():
    objective = float(alert_expressions()["PheyeSlow"].rsplit(">", 1)[1])
    assert objective in SECONDS
    assert {value for _, label, value in map(tuple, selectors("".join(EXPRESSIONS.values()))) if label == "le"} == {
        f"{objective:.1f}"  # as the client writes it: any other spelling would select nothing
    }


@each_alert
def test_an_alert_is_seen_firing_and_seen_silent_in_the_unit_tests(rule):
    asked = [
        case
        for name in RULE_FILES
        for test in yaml.safe_load((DOCKER / name.replace(".yml", "_test.yml")).read_text())["tests"]
        for case in test["promql_expr_test"]
        if case["expr"] == TROUBLE or f'alertname="{rule["alert"]}"' in case["expr"]
    ]
    assert any(case["exp_samples"] for case in asked)
    assert any(not case["exp_samples"] and case["expr"] == TROUBLE for case in asked)


def test_promtool_accepts_the_configuration_and_the_rules():
    promtool("check", "config", "--syntax-only", DOCKER / "prometheus.yml")
    promtool("check", "rules", *(DOCKER / name for name in RULE_FILES))


@pytest.mark.parametrize("name", RULE_FILES)
def test_the_alerts_fire_when_they_should_and_only_then(name):
    promtool("test", "rules", DOCKER / name.replace(".yml", "_test.yml"))


def test_prometheus_loads_every_rule_file_and_the_container_has_them():
    assert SCRAPE["rule_files"] == list(RULE_FILES)
    mounted = {volume.split(":")[0] for volume in COMPOSE["services"]["prometheus"]["volumes"]}
    assert {f"./docker/{name}" for name in RULE_FILES} <= mounted
    assert "--enable-feature=exemplar-storage" in COMPOSE["services"]["prometheus"]["command"]


def test_every_panel_of_what_instances_export_is_for_the_instances_that_were_chosen():
    [variable] = DASHBOARD["templating"]["list"]
    assert variable["name"] == "instance"
    for panel in PANELS:
        for target in panel["targets"]:
            chosen = target["expr"].count('instance=~"$instance"')
            assert chosen == len(re.findall(r"(?<![\w:])(?:pheye_|process_|python_|up\b)", target["expr"])), panel[
                "title"
            ]


def test_promtool_accepts_every_query_of_the_dashboard_as_a_recording_rule(tmp_path):
    rules = [{"record": f"query:{n}", "expr": text} for n, text in enumerate(panel_expressions().values())]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", file).stdout


@each_panel
def test_a_panel_has_a_description_a_unit_and_the_provisioned_datasource(panel):
    assert len(panel["description"]) > 20
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert {panel["datasource"]["uid"], *(target["datasource"]["uid"] for target in panel["targets"])} == {
        DATASOURCE["uid"]
    }


def test_panels_have_ids_of_their_own_and_do_not_overlap():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    cells = [
        (column, line)
        for panel in DASHBOARD["panels"]
        for column in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for line in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(column for column, _ in cells) == 23


def test_grafana_asks_the_prometheus_of_the_compose_file_at_the_pace_of_its_scrapes():
    assert DATASOURCE["url"] == "http://prometheus:9090"
    assert "prometheus" in COMPOSE["services"]
    assert DATASOURCE["jsonData"]["timeInterval"] == SCRAPE["global"]["scrape_interval"]


def test_prometheus_scrapes_whichever_flavour_of_the_service_runs():
    [target] = SCRAPE["scrape_configs"][0]["dns_sd_configs"]
    built = [name for name, service in COMPOSE["services"].items() if "build" in service]
    assert target["names"] == built
    assert all(service["ports"][0].endswith(f":{target['port']}") for service in map(COMPOSE["services"].get, built))
