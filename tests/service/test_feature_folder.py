"""The feature folder behind real servers: a worker that dies and a service that restarts encode no image again."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import httpx

from tests.support.serving import body, running_server, wait_until


def test_a_killed_worker_and_a_restarted_service_read_features_that_were_kept(tmp_path: Path) -> None:
    kept = tmp_path / "features"
    with running_server(feature_folder=kept) as server:
        first = httpx.post(f"{server.url}/v1/caption", json=body()).json()
        wait_until(lambda: list(kept.glob("*.features")), 20)
        os.kill(int(re.findall(r"worker \d+ on \S+ \(process (\d+)\)", server.log)[-1]), signal.SIGKILL)
        wait_until(lambda: len(re.findall(r"worker \d+ on \S+ \(process \d+\) is ready", server.log)) == 2, 60)
        again = httpx.post(f"{server.url}/v1/caption", json=body()).json()
        assert again["caption"] == first["caption"]
        assert [said["usage"]["image_features_cached"] for said in (first, again)] == [False, True]
        assert server.metric('pheye_feature_folder_hits_total{device="cpu",worker="0"}') == 1
        assert server.metric('pheye_feature_folder_bytes{device="cpu",worker="0"}') > 0
    with running_server(feature_folder=kept) as server:
        anew = httpx.post(f"{server.url}/v1/caption", json=body()).json()
        assert (anew["caption"], anew["usage"]["image_features_cached"]) == (first["caption"], True)
        (file,) = kept.glob("*.features")
        image_id = httpx.post(f"{server.url}/v1/images", json={"image_url": body()["image_url"]}).json()["id"]
        assert httpx.delete(f"{server.url}/v1/images/{image_id}").is_success
        wait_until(lambda: not file.exists(), 20)
        image_id = httpx.post(f"{server.url}/v1/images", json={"image_url": body()["image_url"]}).json()["id"]
        wait_until(file.exists, 20)
        worker = int(re.findall(r"worker \d+ on \S+ \(process (\d+)\)", server.log)[-1])
        os.kill(worker, signal.SIGSTOP)
        assert httpx.delete(f"{server.url}/v1/images/{image_id}").is_success
        os.kill(worker, signal.SIGKILL)  # which has not read of it
        wait_until(lambda: not file.exists(), 60)


def test_a_folder_that_cannot_be_written_to_ends_the_service_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with running_server(ready=False, warm=False, feature_folder=tmp_path / "file" / "features") as running:
        assert running.process.wait(60) == 1
        assert f"feature_folder: {tmp_path}/file/features cannot be used" in running.log
