"""A real Prometheus scrapes a real service and answers every query of the dashboard and of the alerts.

The configuration is the one of docker/, with the address of the service, the pace of scraping and the key's file
replaced.
"""

from __future__ import annotations

import math
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from service.metrics.service_metrics import DROP_REASONS
from tests.support.hostile_web import Web, answer, hostile_web
from tests.support.promql import (
    DOCKER,
    RULES,
    TROUBLE,
    WATCHDOG,
    alert_expressions,
    panel_expressions,
    program,
    recorded_expressions,
)
from tests.support.serving import Server, body, data_uri, image_file, running_server, wait_until
from tests.support.sockets import free_port

KEY = "scrape-and-ask"
PATIENCE_S = 60.0
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus, asked over its HTTP API."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(self.url + path, params=parameters, timeout=10.0).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        return self.get("/api/v1/query", query=expression)["result"]

    def value(self, expression: str) -> float:
        [sample] = self.query(expression)
        return float(sample["value"][1])


def eventually(ask) -> Any:
    return wait_until(ask, PATIENCE_S)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5.0).is_success
    except httpx.TransportError:
        return False


def in_a_hurry(name: str, folder: Path) -> str:
    """A copy of a rule file, all of whose groups are evaluated at the pace of the configuration."""
    rules = yaml.safe_load((DOCKER / name).read_text(encoding="utf-8"))
    for group in rules["groups"]:
        group.pop("interval", None)
    (folder / name).write_text(yaml.safe_dump(rules))
    return str(folder / name)


def adapted_config(target: str, folder: Path) -> Path:
    """docker/prometheus.yml for one service on loopback, in a hurry."""
    config = yaml.safe_load((DOCKER / "prometheus.yml").read_text(encoding="utf-8"))
    (folder / "key").write_text(KEY)
    job = config["scrape_configs"][0]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [target]}]
    job["authorization"]["credentials_file"] = str(folder / "key")
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [in_a_hurry(name, folder) for name in config["rule_files"]]
    config["scrape_configs"] = [job]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    return file


@contextmanager
def running_prometheus(target: str, folder: Path) -> Iterator[Prometheus]:
    address = f"127.0.0.1:{free_port()}"
    log = (folder / "log").open("wb")
    command = [
        program("prometheus"),
        f"--config.file={adapted_config(target, folder)}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--enable-feature=exemplar-storage",
    ]
    with log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            url = f"http://{address}"
            eventually(lambda: process.poll() is not None or answers(url + "/-/ready"))
            assert process.poll() is None, (folder / "log").read_text()
            yield Prometheus(url)
        finally:
            process.terminate()


def send_traffic(server: Server, web: Web) -> None:
    """A caption of and a question about each of two images, so that lookups hit; a link, and two bad requests."""
    traced = {"Traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}
    with server.client(headers={"Authorization": f"Bearer {KEY}"} | traced) as client:
        for size in ((96, 64), (64, 96)):
            image = data_uri(image_file(size=size))
            client.post("/v1/caption", json=body(image_url=image)).raise_for_status()
            client.post("/v1/vqa", json=body(image_url=image, question="Which colour?")).raise_for_status()
        client.post("/v1/caption", json=body(image_url=web.url())).raise_for_status()
        assert client.post("/v1/caption", json=body(lenght="short")).status_code == 422
        assert client.post("/v1/caption", json=body(), headers={"Authorization": "Bearer wrong"}).status_code == 401


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It has seen every kind of traffic twice, because a rate needs a counter that grows between two scrapes."""
    program("prometheus")
    with (
        hostile_web({"/image": answer(image_file())}) as web,
        running_server(
            api_keys=KEY,
            image_hosts=f"127.0.0.1:{web.port}",
            feature_folder=tmp_path_factory.mktemp("features"),
        ) as server,
        running_prometheus(server.url.removeprefix("http://"), tmp_path_factory.mktemp("prometheus")) as prometheus,
    ):
        eventually(lambda: prometheus.query('up{job="pheye"} == 1'))
        for times in (1, 2):
            send_traffic(server, web)
            last_sent = f'pheye_requests_total{{status="401"}} == {times}'
            eventually(lambda last_sent=last_sent: prometheus.query(last_sent))
        eventually(
            lambda: (
                {sample["metric"]["__name__"] for sample in prometheus.query('{__name__=~"job:.+"}')}
                == recorded_expressions().keys()
            )
        )
        yield prometheus


def test_the_target_is_up_although_the_service_asks_for_a_key(prometheus):
    [target] = prometheus.get("/api/v1/targets")["activeTargets"]
    assert target["health"] == "up", target["lastError"]


@pytest.mark.parametrize("expression", panel_expressions().values(), ids=panel_expressions().keys())
def test_a_query_of_the_dashboard_returns_data(prometheus, expression):
    samples = prometheus.query(expression)
    trouble = expression == TROUBLE or expression.startswith("changes(")
    # There is no trouble here, no GPU is used, and the model was not taught to say that it does not know.
    quiet = trouble or expression.startswith("pheye_gpu_") or "answers_outside" in expression
    assert not samples if quiet else samples
    assert all(math.isfinite(float(sample["value"][1])) for sample in samples)


@pytest.mark.parametrize(("name", "expression"), alert_expressions().items(), ids=alert_expressions().keys())
def test_an_alert_can_be_evaluated_and_is_silent_but_for_the_watchdog(prometheus, name, expression):
    assert len(prometheus.query(expression)) == (name == WATCHDOG)


def test_the_time_of_a_request_has_an_exemplar_that_names_its_trace(prometheus):
    for name in ("pheye_request_seconds", "pheye_time_to_first_token_seconds", "pheye_queue_seconds"):
        found = prometheus.get("/api/v1/query_exemplars", query=f"{name}_bucket", start="0", end="4000000000")
        assert {each["labels"]["trace_id"] for series in found for each in series["exemplars"]} == {TRACE_ID}, name


def test_what_was_rejected_is_counted_by_reason(prometheus):
    rejected = {
        sample["metric"]["reason"]: float(sample["value"][1])
        for sample in prometheus.query("pheye_requests_rejected_total")
    }
    assert rejected == {"unauthorized": 2, "invalid-field": 2}


def test_every_alert_is_loaded_and_healthy(prometheus):
    def rules() -> list[dict[str, Any]]:
        return [rule for group in prometheus.get("/api/v1/rules")["groups"] for rule in group["rules"]]

    eventually(lambda: all(rule["health"] != "unknown" for rule in rules()))
    assert {rule["name"]: rule["health"] for rule in rules()} == {
        rule.get("alert") or rule["record"]: "ok" for rule in RULES
    }


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("pheye_ready", 1),
        ('pheye_requests_total{endpoint="/v1/caption", status="200"}', 6),
        ('pheye_requests_total{endpoint="/v1/caption", status="422"}', 2),
        ('pheye_requests_total{endpoint="other", status="401"}', 2),
        ("pheye_feature_cache_queries_total", 10),
        ("pheye_feature_cache_hits_total", 8),
        ("pheye_feature_cache_tile_hits_total > bool 39", 1),
        ("pheye_worker_restarts_total", 0),
        ("pheye_request_replays_total", 0),
        ("pheye_requests_waiting + on (instance) pheye_requests_running", 0),
        ("pheye_generated_tokens_total > bool 0", 1),
        ("job:pheye_request_errors:ratio_rate5m", 0),
        ('pheye_slots{worker="0", device="cpu"}', 8),
        ("pheye_worker_resident_memory_bytes > bool 1e8", 1),
        ("pheye_feature_cache_bytes > bool 0", 1),
    ],
)
def test_what_prometheus_has_seen_is_what_was_sent(prometheus, expression, expected):
    assert prometheus.value(expression) == expected


def test_drops_are_counted_from_zero_so_that_the_first_one_is_an_increase(prometheus):
    seen = {sample["metric"]["reason"] for sample in prometheus.query("pheye_requests_dropped_total")}
    assert seen == set(DROP_REASONS)
