"""The service on Ray Serve, as `deploy/ray/serve.yaml` has it: affinity, a killed replica, scaling, all metrics."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from service.images import DIGEST_HEADER as HEADER
from tests.support.ray_cluster import ROOT, RayCluster, needs_ray, ray_cluster
from tests.support.serving import image_file, wait_until

URL = "http://127.0.0.1:8000"
ENGINE, EDGE = "ServeReplica:pheye:Engine", "ServeReplica:pheye:Edge"
READY_S = 600.0
SLOTS = 4
DEPLOYED = """
import time
from ray import serve
while not all(app.status == "RUNNING" and all(each.status == "HEALTHY" for each in app.deployments.values())
              for app in serve.status().applications.values()):
    time.sleep(1)
"""  # what `serve run` leaves to whoever wants to know
pytestmark = needs_ray


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(RAY_SERVE_SESSION_ID_HEADER_KEY=HEADER) as running:
        yield running


def deploy(cluster: RayCluster, folder: Path, *, affinity: bool = True, most: int = 2, **settings: str) -> None:
    """Deploy the file of the repository with two replicas of each kind that adapt quickly."""
    config = yaml.safe_load((ROOT / "deploy/ray/serve.yaml").read_text(encoding="utf-8"))
    config["http_options"]["host"] = "127.0.0.1"
    app = config["applications"][0]
    app["args"]["affinity"] = affinity
    app["runtime_env"]["env_vars"] |= {"PHEYE_SLOTS": str(SLOTS), "PHEYE_MAX_WAITING": "500", **settings}
    engine = next(each for each in app["deployments"] if each["name"] == "Engine")
    engine["autoscaling_config"] |= {"min_replicas": 2, "max_replicas": most, "upscale_delay_s": 1}
    engine["autoscaling_config"] |= {"downscale_delay_s": 5, "metrics_interval_s": 1, "look_back_period_s": 2}
    file, log = folder / "serve.yaml", folder / "serve.log"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    run = cluster.start("-m", "ray.serve.scripts", "run", "--non-blocking", str(file), log=log)
    assert run.wait(READY_S) == 0, log.read_text(encoding="utf-8")
    assert cluster.start("-c", DEPLOYED, log=log).wait(READY_S) == 0, log.read_text(encoding="utf-8")
    wait_until(lambda: slots() == 2 * SLOTS, READY_S)


def slots() -> int:
    """The slots of all engines, as an edge knows them; none while nobody answers."""
    try:
        ready = httpx.get(f"{URL}/readyz", timeout=READY_S)
    except httpx.TransportError:
        return 0
    return int(ready.json()["slots"]) if ready.is_success else 0


def ask(image: bytes, **headers: str) -> Any:
    """Ask for a caption; the answer has to be a good one."""
    answer = httpx.post(f"{URL}/v1/caption", files={"image": image}, headers=headers, timeout=READY_S)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ask_all(images: Sequence[bytes], clients: int) -> list[str]:
    """Ask about many images at a time; return the captions in their order."""
    with ThreadPoolExecutor(clients) as pool:
        return [answer["caption"] for answer in pool.map(ask, images)]


def pictures(count: int, seed: int) -> list[bytes]:
    return [image_file("PNG", (30 + number, 40 + seed)) for number in range(count)]


def hit_ratio(images: Sequence[bytes]) -> float:
    """Ask twice about each image; the share of second answers for which nothing was encoded."""
    for image in images:
        ask(image)
    return sum(ask(image)["usage"]["image_features_cached"] for image in images) / len(images)


def metric(name: str) -> float:
    lines = httpx.get(f"{URL}/metrics", timeout=READY_S).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((name + " ", name + "{")))


def test_each_image_has_its_replica_and_a_killed_one_costs_no_answer(cluster: RayCluster, tmp_path: Path) -> None:
    deploy(cluster, tmp_path)
    images = pictures(20, seed=1)
    ratio = hit_ratio(images)
    print(f"found again with affinity: {ratio:.0%}")  # noqa: T201
    assert ratio >= 0.95
    right = ask_all(images, clients=1)
    load = list(islice(cycle(images), 200))
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(ask_all, load, 8)
        wait_until(lambda: metric("pheye_requests_running") >= 2, READY_S)
        cluster.kill(ENGINE)
        assert answers.result() == list(islice(cycle(right), 200))
    replays = metric("pheye_request_replays_total")
    print(f"200 answers right, {replays:.0f} of them replayed")  # noqa: T201
    assert replays >= 1
    wait_until(lambda: slots() == 2 * SLOTS, READY_S)  # there is another in its place


def test_an_upload_is_found_again_by_its_header_and_metrics_are_of_all_edges(cluster: RayCluster) -> None:
    for image in pictures(10, seed=2):
        header = {HEADER: hashlib.sha256(image).hexdigest()}
        made = httpx.post(f"{URL}/v1/images", files={"image": image}, headers=header, timeout=READY_S)
        assert httpx.get(f"{URL}/v1/images/{made.json()['id']}", headers=header, timeout=READY_S).status_code == 200
    text = httpx.get(f"{URL}/metrics", timeout=READY_S).text
    stored = [line for line in text.splitlines() if line.startswith("pheye_image_store_images{")]
    assert len(stored) == 2
    assert sum(float(line.rpartition(" ")[2]) for line in stored) == 10
    refused = httpx.post(f"{URL}/v1/caption", files={"image": b"no image"}, timeout=READY_S)
    assert (refused.status_code, refused.headers["content-type"]) == (415, "application/problem+json")


def test_replicas_come_and_go_with_the_load_and_without_affinity_images_are_encoded_again(
    cluster: RayCluster, tmp_path: Path
) -> None:
    deploy(cluster, tmp_path, affinity=False, most=3)
    images = pictures(20, seed=3)
    ratio = hit_ratio(images)
    print(f"found again without affinity: {ratio:.0%}")  # noqa: T201
    assert ratio <= 0.8
    right = dict(zip(images, ask_all(images, clients=1), strict=True))
    with ThreadPoolExecutor(24) as pool:
        most = asked = 0
        while most < 3:
            answers = pool.map(ask, load := images * 4)
            assert [answer["caption"] for answer in answers] == [right[image] for image in load]
            most, asked = max(most, len(cluster.processes(ENGINE))), asked + len(load)
    print(f"{asked} answers right while replicas became {most}")  # noqa: T201
    wait_until(lambda: len(cluster.processes(ENGINE)) == 2, READY_S)
    assert ask(images[0])["caption"] == right[images[0]]
