"""Two real servers that share a folder of uploaded images: every id is good at both, as long as its file is there."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from model.config import named_geometry
from service.api.image_folder.access import DAMAGED, FAILED
from service.api.image_store import NOT_THERE
from tests.support.serving import Server, assert_problem, body, events_of, image_file, running_server

CONFIG = named_geometry("pheye-micro")
IMAGE_BYTES = CONFIG.tiles * CONFIG.vision.tile_px**2 * 3
KEYS = [{"authorization": "Bearer first"}, {"authorization": "Bearer second"}]
SHARED = {"api_keys": "first,second", "image_store_bytes": 3 * IMAGE_BYTES, "share_image_features": True}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared") / "images"


@pytest.fixture(scope="module")
def servers(place: Path) -> Iterator[tuple[Server, Server]]:
    with (
        running_server(ready=False, image_folder=place, **SHARED) as a,
        running_server(image_folder=place, **SHARED) as b,
    ):
        yield a, b


@pytest.fixture
def pair(servers: tuple[Server, Server]) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    with servers[0].client(headers=KEYS[0]) as a, servers[1].client(headers=KEYS[0]) as b:
        yield a, b


def upload(client: httpx.Client, number: int) -> str:
    made = client.post(
        "/v1/images", content=image_file("PNG", (50 + number, 33)), headers={"content-type": "image/png"}
    )
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


def chat(image_id: str) -> dict[str, object]:
    content = [{"type": "image_url", "image_url": {"url": image_id}}, {"type": "text", "text": "What?"}]
    return {"messages": [{"role": "user", "content": content}], "max_tokens": 8, "temperature": 0}


def file_of(place: Path, image_id: str) -> Path:
    [path] = place.glob(f"*/{image_id.removeprefix('img_')}.image")
    return path


def test_an_image_of_one_server_is_asked_about_listed_renewed_and_deleted_at_the_other(
    pair: tuple[httpx.Client, httpx.Client], servers: tuple[Server, Server], place: Path
) -> None:
    a, b = pair
    image_id = upload(a, 1)
    answers = [each.post("/v1/vqa", json=body(image_url=image_id, question="What?")).json()["answer"] for each in pair]
    assert answers[0] == answers[1] != ""
    chats = [each.post("/v1/chat/completions", json=chat(image_id)) for each in pair]
    assert [each.status_code for each in chats] == [200, 200]
    assert b.post("/v1/estimate", json={"image_url": image_id}).status_code == 200
    with b.stream("POST", "/v1/caption", json=body(image_url=image_id, stream=True)) as response:
        assert list(events_of(response))[-1]["completed"] is True
    told = [each.get(f"/v1/images/{image_id}").json() for each in pair]
    assert [each["held_bytes"] for each in told] == [IMAGE_BYTES] * 2
    assert told[0] | {"expires_in_s": 0, "features_resident": 0} == told[1] | {
        "expires_in_s": 0,
        "features_resident": 0,
    }
    assert [card["id"] for card in b.get("/v1/images").json()["images"]] == [image_id]

    path = file_of(place, image_id)
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 1800))
    assert a.get(f"/v1/images/{image_id}").json()["expires_in_s"] < 1801
    renewed = b.post("/v1/images", json={"image_url": image_id})
    assert renewed.json()["id"] == image_id
    assert a.get(f"/v1/images/{image_id}").json()["expires_in_s"] > 3500

    with servers[1].client(headers=KEYS[1]) as stranger:
        for response in (
            stranger.get(f"/v1/images/{image_id}"),
            stranger.delete(f"/v1/images/{image_id}"),
            stranger.post("/v1/caption", json=body(image_url=image_id)),
        ):
            assert assert_problem(response, 404, "upload it again")["detail"] == NOT_THERE
        assert stranger.get("/v1/images").json() == {"images": []}
    assert b.delete(f"/v1/images/{image_id}").status_code == 204
    for client in pair:
        for response in (
            client.post("/v1/caption", json=body(image_url=image_id)),
            client.post("/v1/caption", json=body(image_url=image_id, stream=True)),
            client.get(f"/v1/images/{image_id}"),
            client.delete(f"/v1/images/{image_id}"),
            client.post("/v1/images", json={"image_url": image_id}),
        ):
            assert assert_problem(response, 404, "upload it again")["detail"] == NOT_THERE
        assert client.get("/v1/images").json() == {"images": []}
    assert "Traceback" not in servers[0].log + servers[1].log


@pytest.mark.parametrize(
    "image_id",
    ["img_", "img_..%2F..%2Fetc", "img_" + "0" * 64, "img_" + "A" * 64, "img_" + "0" * 64 + "%0a", "img_%00"],
)
def test_an_id_is_a_name_and_never_a_path(pair: tuple[httpx.Client, httpx.Client], image_id: str) -> None:
    responses = [pair[0].post("/v1/caption", json=body(image_url=image_id.replace("%2F", "/").replace("%0a", "\n")))]
    if "%" not in image_id:
        responses.append(pair[0].get(f"/v1/images/{image_id}"))
    for response in responses:
        assert_problem(response, 404, NOT_THERE)


def test_the_folder_keeps_more_than_the_memory_and_its_faults_cost_only_requests_with_ids(
    pair: tuple[httpx.Client, httpx.Client], servers: tuple[Server, Server], place: Path
) -> None:
    a, b = pair
    ids = [upload(a, number) for number in range(10, 16)]
    assert servers[0].metric("pheye_image_store_images", **KEYS[0]) == 3
    assert [card["id"] for card in b.get("/v1/images").json()["images"]] == ids
    assert all(each.post("/v1/caption", json=body(image_url=ids[0])).is_success for each in pair)
    path = file_of(place, ids[0])
    path.write_bytes(path.read_bytes()[:-1])
    assert a.post("/v1/caption", json=body(image_url=ids[0])).is_success  # it has the image; the file is there
    for number in range(3):
        a.post("/v1/caption", json=body(image_url=ids[number + 1]))  # which leave no room for it
    assert_problem(a.post("/v1/caption", json=body(image_url=ids[0])), 404, DAMAGED)
    assert_problem(a.post("/v1/caption", json=body(image_url=ids[0])), 404, NOT_THERE)

    place.rename(place.with_name("away"))
    refused = [
        a.post("/v1/caption", json=body(image_url=ids[1])),
        a.get(f"/v1/images/{ids[1]}"),
        a.delete(f"/v1/images/{ids[1]}"),
        a.get("/v1/images"),
        a.post("/v1/images", content=image_file("PNG"), headers={"content-type": "image/png"}),
    ]
    for response in refused:
        assert_problem(response, 503, FAILED)
        assert response.headers["retry-after"] == "5"
    assert a.post("/v1/chat/completions", json=chat(ids[1])).json()["error"]["code"] == "images_unreachable"
    assert a.post("/v1/caption", json=body()).is_success
    assert a.get("/readyz").is_success
    place.with_name("away").rename(place)
    assert a.post("/v1/caption", json=body(image_url=ids[1])).is_success
    failures = {reason: f'pheye_image_folder_errors_total{{reason="{reason}"}}' for reason in ("failed", "damaged")}
    assert servers[0].metric(failures["failed"], **KEYS[0]) >= 6
    assert servers[0].metric(failures["damaged"], **KEYS[0]) == 1
    told = re.findall(r"WARNING pheye.images: PHEYE_IMAGE_FOLDER: \S+: (.*)", servers[0].log)
    assert len(told) == 2  # of the damaged file, and once of the folder that is away
    assert re.fullmatch(r"removed [0-9a-f]{64}/[0-9a-f]{64}\.image, which has a damaged head|.*, which .*", told[0])
    assert "first" not in servers[0].log
    assert str(place) not in refused[0].text


def test_a_server_killed_while_it_writes_leaves_no_broken_image_and_goes_on_with_all_of_them(
    place: Path, pair: tuple[httpx.Client, httpx.Client]
) -> None:
    """A third server: killed during uploads, then started again."""
    kept: list[str] = []
    settings = {**SHARED, "image_folder": place}

    def pour(url: str, seed: int) -> None:
        with httpx.Client(base_url=url, headers=KEYS[0]) as client:
            for number in range(1000):
                try:
                    kept.append(upload(client, 100 + 7 * number + seed))
                except httpx.TransportError:
                    return

    with running_server(**settings) as victim:
        threads = [threading.Thread(target=pour, args=(victim.url, seed)) for seed in range(3)]
        for thread in threads:
            thread.start()
        end_s = time.monotonic() + 30
        while len(kept) < 20 and time.monotonic() < end_s:
            time.sleep(0.005)
        os.kill(victim.process.pid, signal.SIGKILL)
        for thread in threads:
            thread.join()
        victim.process.wait(20)
    listed = {card["id"] for card in pair[1].get("/v1/images").json()["images"]}
    assert set(kept) <= listed
    for image_id in listed:
        assert pair[1].post("/v1/caption", json=body(image_url=image_id, settings={"max_tokens": 1})).is_success
    with running_server(**settings) as again, again.client(headers=KEYS[0]) as client:
        assert {card["id"] for card in client.get("/v1/images").json()["images"]} == listed
        asked = body(image_url=kept[0], question="What?")
        assert (
            client.post("/v1/vqa", json=asked).json()["answer"] == pair[0].post("/v1/vqa", json=asked).json()["answer"]
        )
        client.delete(f"/v1/images/{kept[1]}")
    assert_problem(pair[0].get(f"/v1/images/{kept[1]}"), 404, NOT_THERE)


def test_a_folder_that_cannot_be_used_ends_the_start_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(
            AssertionError, match=rf"PHEYE_IMAGE_FOLDER: {re.escape(str(tmp_path))}/file/images is no folder"
        ),
        running_server(image_folder=tmp_path / "file/images"),
    ):
        pass
