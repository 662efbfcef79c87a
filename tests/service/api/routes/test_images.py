"""Image handles over real sockets: upload once, ask by id; whose an image is, how long, and what is left of it."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import httpx
import pytest

from model.config import named_geometry
from service.api.image_store import OFF, UNKNOWN
from tests.support.serving import (
    ENDLESS,
    TALKATIVE,
    Server,
    assert_problem,
    body,
    data_uri,
    events_of,
    image_file,
    running_server,
    wait_until,
)

CONFIG = named_geometry("pheye-micro")
IMAGE_BYTES = CONFIG.tiles * CONFIG.vision.tile_px**2 * 3
JPEG = {"content-type": "image/jpeg"}
LONG = {"max_tokens": 700} | ENDLESS
NOBODYS = "img_" + "0" * 64


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def fresh_file(number: int) -> bytes:
    """A picture no other test has sent."""
    return image_file("PNG", (40 + number, 30))


def upload(client: httpx.Client, file: bytes, **headers: str) -> dict[str, object]:
    response = client.post("/v1/images", content=file, headers={"content-type": "image/png"} | headers)
    assert response.status_code == 201, response.text
    return response.json()


def resident(client: httpx.Client, image_id: object) -> bool:
    return client.get(f"/v1/images/{image_id}").json()["features_resident"]


def test_an_upload_says_what_is_kept_and_for_how_long(client):
    response = client.post("/v1/images", content=image_file(), headers=JPEG)
    card = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/v1/images/{card['id']}"
    assert re.fullmatch(r"img_[0-9a-f]{64}", card["id"])
    assert (card["width_px"], card["height_px"]) == (96, 64)
    assert (card["image_tiles"], card["image_tokens"]) == (CONFIG.tiles, CONFIG.image_tokens)
    assert card["held_bytes"] == IMAGE_BYTES
    assert 3590 < card["expires_in_s"] <= 3600
    assert client.get(response.headers["location"]).json().keys() == card.keys()


def test_the_three_kinds_of_body_and_another_format_of_the_same_pixels_get_the_same_id(client):
    file = image_file("PNG")
    responses = [
        client.post("/v1/images", json={"image_url": data_uri(file, "image/png")}),
        client.post("/v1/images", files={"image": ("a.png", file, "image/png")}),
        client.post("/v1/images", content=file, headers={"content-type": "image/png"}),
        client.post("/v1/images", content=image_file("BMP"), headers={"content-type": "image/bmp"}),
    ]
    first = responses[0].json()["id"]
    assert [response.json()["id"] for response in responses] == [first] * 4
    again = client.post("/v1/images", json={"image_url": first})
    assert (again.status_code, again.json()["id"]) == (201, first)


def test_asking_by_id_encodes_nothing_once_the_upload_has_been_encoded(server, client):
    image_id = upload(client, fresh_file(1))["id"]
    wait_until(lambda: resident(client, image_id))
    before = server.metric("pheye_encoded_tiles_total")
    answer = client.post("/v1/vqa", json=body(image_url=image_id, question="What?")).json()
    assert answer["usage"]["image_features_cached"] is True
    assert answer["timings"]["encode"] == 0.0
    assert server.metric("pheye_encoded_tiles_total") == before


def test_an_upload_is_encoded_once_though_nobody_asks(server, client):
    before = server.metric("pheye_encoded_tiles_total")
    image_id = upload(client, fresh_file(2))["id"]
    wait_until(lambda: resident(client, image_id))
    assert upload(client, fresh_file(2))["features_resident"] is True
    assert server.metric("pheye_encoded_tiles_total") == before + CONFIG.tiles


@pytest.mark.parametrize("path", ["/v1/caption", "/v1/vqa", "/v1/query"])
def test_an_id_gets_the_same_answer_as_its_image_in_every_kind_of_body(client, path):
    image_id = upload(client, fresh_file(3))["id"]
    fields = {} if path == "/v1/caption" else {"question": "What is it?"}
    settings = {"max_tokens": 12} | TALKATIVE
    flat = fields | {"settings": json.dumps(settings), "image_url": image_id}
    whole = body(image_url=data_uri(fresh_file(3), "image/png"), settings=settings, **fields)
    with client.stream("POST", path, json=whole | {"image_url": image_id, "stream": True}) as response:
        streamed = "".join(event.get("chunk", "") for event in events_of(response))
    answers = [
        client.post(path, json=whole),
        client.post(path, json=whole | {"image_url": image_id}),
        client.post(path, files={name: (None, value) for name, value in flat.items()}),
        client.post(path, params=flat),
    ]
    texts = [response.json()["caption" if path == "/v1/caption" else "answer"] for response in answers]
    assert texts[0]
    assert [*texts, streamed] == texts[:1] * 5


def test_a_chat_takes_an_id_too(client):
    image_id = upload(client, fresh_file(4))["id"]
    parts = [{"type": "image_url", "image_url": {"url": image_id}}, {"type": "text", "text": "What?"}]
    asked = {"messages": [{"role": "user", "content": parts}], "max_tokens": 4}
    assert client.post("/v1/chat/completions", json=asked).status_code == 200
    parts[0]["image_url"]["url"] = NOBODYS
    refused = client.post("/v1/chat/completions", json=asked)
    assert refused.status_code == 404
    assert "upload it again with POST /v1/images" in refused.json()["error"]["message"]


@pytest.mark.parametrize("image_id", [NOBODYS, "img_", "img_%2e%2e", "img_" + "A" * 5000], ids=str)
def test_an_unknown_id_is_a_404_that_says_to_upload_again(client, image_id):
    problems = [
        assert_problem(response, 404, "upload it again with POST /v1/images")
        for response in (
            client.post("/v1/caption", json=body(image_url=image_id)),
            client.post("/v1/caption", json=body(image_url=image_id, stream=True)),
            client.post("/v1/caption", params={"image_url": image_id}),
            client.get(f"/v1/images/{image_id}"),
            client.delete(f"/v1/images/{image_id}"),
        )
    ]
    assert {(problem["type"], problem["detail"]) for problem in problems} == {("/errors/not-found", UNKNOWN)}


def test_a_deleted_image_leaves_nothing_but_the_answers_already_promised(client):
    image_id = upload(client, fresh_file(5))["id"]
    wait_until(lambda: resident(client, image_id))
    with client.stream("POST", "/v1/caption", json=body(image_url=image_id, stream=True)) as response:
        assert client.delete(f"/v1/images/{image_id}").status_code == 204
        assert list(events_of(response))[-1]["completed"] is True
    assert_problem(client.delete(f"/v1/images/{image_id}"), 404, "upload it again")
    assert image_id not in [card["id"] for card in client.get("/v1/images").json()["images"]]
    asked = body(image_url=data_uri(fresh_file(5), "image/png"))
    assert client.post("/v1/caption", json=asked).json()["usage"]["image_features_cached"] is False


def test_an_image_deleted_while_its_question_waits_is_answered_all_the_same(server, client):
    image_id = upload(client, fresh_file(6))["id"]
    with ThreadPoolExecutor(2) as pool:
        busy = pool.submit(client.post, "/v1/vqa", json=body(questions=["a"] * 8, settings=LONG))
        wait_until(lambda: server.metric("pheye_requests_running") == 8.0)
        waiting = pool.submit(client.post, "/v1/caption", json=body(image_url=image_id))
        wait_until(lambda: server.metric("pheye_requests_waiting") == 1.0)
        assert client.delete(f"/v1/images/{image_id}").status_code == 204
        assert waiting.result().status_code == 200
        assert busy.result().status_code == 200


def test_the_list_is_ordered_by_use_and_the_gauges_count_it(server, client):
    ids = [upload(client, fresh_file(number))["id"] for number in (7, 8)]
    client.post("/v1/caption", json=body(image_url=ids[0]))
    listed = [card["id"] for card in client.get("/v1/images").json()["images"]]
    assert listed[-2:] == ids[::-1]
    assert server.metric("pheye_image_store_images") == len(listed)
    assert server.metric("pheye_image_store_bytes") == len(listed) * IMAGE_BYTES


def test_an_upload_is_no_request_for_an_answer(server, client):
    upload(client, fresh_file(9))
    assert server.metric("pheye_requests_waiting") == 0.0
    assert 'endpoint="/v1/images",status="201"' in client.get("/metrics").text


@pytest.mark.parametrize(
    ("kwargs", "status", "words"),
    [
        ({"json": {}}, 422, "image_url: no image"),
        ({"json": {"image_url": "nonsense"}}, 400, "image_url: not an image"),
        ({"json": {"image_url": "http://a/b.jpg"}}, 422, "image_url: a: images are not fetched here"),
        ({"json": {"image_url": data_uri(image_file()), "question": "a"}}, 422, "question: unknown field"),
        ({"json": {"image_url": data_uri(image_file()[:-300])}}, 422, "image: broken or cut short"),
        ({"content": b"hello", "headers": JPEG}, 415, "image: not of a format"),
        ({"params": {"image_url": NOBODYS}, "content": image_file(), "headers": JPEG}, 422, "an image was uploaded"),
        ({}, 422, "image_url: no image"),
    ],
    ids=["nothing", "nonsense", "link", "field", "cut", "text", "both", "empty"],
)
def test_an_upload_that_cannot_be_kept_is_a_problem(client, kwargs, status, words):
    assert_problem(client.post("/v1/images", **kwargs), status, words)


def test_after_its_workers_death_an_image_is_there_and_its_features_are_not(server, client):
    image_id = upload(client, fresh_file(10))["id"]
    wait_until(lambda: resident(client, image_id))
    restarts = server.metric("pheye_worker_restarts_total")
    kill_worker(server)
    wait_until(lambda: server.metric("pheye_worker_restarts_total") == restarts + 1)
    assert resident(client, image_id) is False
    wait_until(lambda: client.get("/readyz").status_code == 200, 60.0)
    answer = client.post("/v1/caption", json=body(image_url=image_id)).json()
    assert answer["usage"]["image_features_cached"] is False
    assert resident(client, image_id) is True


def kill_worker(server: Server) -> None:
    """End the only worker as the kernel would; its process id is in the log."""
    pid = re.findall(r"worker \d+ on \S+ \(process (\d+)\) is ready", server.log)[-1]
    os.kill(int(pid), signal.SIGKILL)


KEYS = [{"authorization": "Bearer first"}, {"x-moondream-auth": "second"}]


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    """Two keys, room for three images, six seconds to live for each."""
    with running_server(api_keys="first,second", image_store_bytes=3 * IMAGE_BYTES, image_ttl_s=6) as running:
        yield running


@pytest.fixture
def pair(guarded: Server) -> Iterator[list[httpx.Client]]:
    """A client for each key, with no image stored."""
    clients = [guarded.client(headers=key) for key in KEYS]
    for client in clients:
        for card in client.get("/v1/images").json()["images"]:
            client.delete(f"/v1/images/{card['id']}")
    yield clients
    for client in clients:
        client.close()


def test_a_key_sees_and_removes_its_own_images_only(pair):
    first, second = pair
    image_id = upload(first, fresh_file(20))["id"]
    assert second.get("/v1/images").json() == {"images": []}
    for response in (
        second.get(f"/v1/images/{image_id}"),
        second.delete(f"/v1/images/{image_id}"),
        second.post("/v1/caption", json=body(image_url=image_id)),
    ):
        assert assert_problem(response, 404, "upload it again")["detail"] == UNKNOWN
    assert first.get(f"/v1/images/{image_id}").status_code == 200


def test_both_headers_of_a_key_name_the_same_owner(guarded, pair):
    image_id = upload(pair[1], fresh_file(21))["id"]
    response = httpx.get(f"{guarded.url}/v1/images/{image_id}", headers={"authorization": "bearer second"})
    assert response.status_code == 200


def test_one_keys_delete_leaves_the_features_that_anothers_image_needs(pair):
    first, second = pair
    others_id, image_id = (upload(client, fresh_file(22))["id"] for client in pair)
    assert others_id != image_id
    wait_until(lambda: resident(second, image_id))
    assert first.delete(f"/v1/images/{others_id}").status_code == 204
    answer = second.post("/v1/caption", json=body(image_url=image_id)).json()
    assert answer["usage"]["image_features_cached"] is True
    assert second.delete(f"/v1/images/{image_id}").status_code == 204
    asked = body(image_url=data_uri(fresh_file(22), "image/png"))
    assert second.post("/v1/caption", json=asked).json()["usage"]["image_features_cached"] is False


def test_a_fourth_image_takes_the_place_of_the_least_recently_used_one(guarded, pair):
    client = pair[0]
    ids = [upload(client, fresh_file(number))["id"] for number in (23, 24, 25)]
    assert client.post("/v1/caption", json=body(image_url=ids[0])).is_success
    upload(client, fresh_file(26))
    assert_problem(client.get(f"/v1/images/{ids[1]}"), 404, "upload it again")
    assert client.get(f"/v1/images/{ids[0]}").status_code == 200
    assert guarded.metric("pheye_image_store_bytes", **KEYS[0]) == 3 * IMAGE_BYTES


def test_an_image_expires_unless_it_is_uploaded_again_and_leaves_the_memory(guarded, pair):
    client = pair[0]
    image_id = upload(client, fresh_file(27))["id"]
    time.sleep(0.5)
    aged = client.get(f"/v1/images/{image_id}").json()["expires_in_s"]
    assert 2.0 < aged <= 5.5
    assert upload(client, fresh_file(27))["expires_in_s"] > aged
    wait_until(lambda: client.get(f"/v1/images/{image_id}").status_code == 404, 15.0)
    assert_problem(client.post("/v1/caption", json=body(image_url=image_id)), 404, UNKNOWN)
    wait_until(lambda: guarded.metric("pheye_image_store_images", **KEYS[0]) == 0.0)


def test_with_handles_off_uploads_and_ids_are_refused_with_the_reason():
    with running_server(image_store_bytes=0) as off, off.client() as client:
        for response in (
            client.post("/v1/images", content=image_file(), headers=JPEG),
            client.get(f"/v1/images/{NOBODYS}"),
            client.post("/v1/caption", json=body(image_url=NOBODYS)),
        ):
            assert assert_problem(response, 404, "PHEYE_IMAGE_STORE_BYTES")["detail"] == OFF
        assert client.get("/v1/images").json() == {"images": []}
        assert client.post("/v1/caption", json=body()).is_success


def test_without_a_feature_cache_an_upload_is_not_encoded_in_vain():
    with running_server(feature_cache_bytes=0) as bare, bare.client() as client:
        image_id = upload(client, fresh_file(29))["id"]
        assert client.post("/v1/caption", json=body(image_url=image_id)).is_success
        assert bare.metric("pheye_encoded_tiles_total") == CONFIG.tiles
        assert resident(client, image_id) is False


def test_nothing_of_a_key_or_an_image_reaches_the_log(guarded, pair):
    image_id = upload(pair[0], fresh_file(28))["id"]
    pair[0].post("/v1/caption", json=body(image_url=image_id))
    assert "first" not in guarded.log
    assert sha256(b"first").hexdigest() not in guarded.log
    assert base64.b64encode(fresh_file(28)).decode()[:40] not in guarded.log
    assert "Traceback" not in guarded.log
