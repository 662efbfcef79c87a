"""Tenants behind one server: nothing that it tells one key depends on the images of another, unless they share."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.support.serving import Server, body, data_uri, image_file, running_server

ALICE, ALINA, BOB = ({"Authorization": f"Bearer {name}"} for name in ("alice", "alina", "bob"))
KEYS = """
[[key]]
name = "alice"
key = "alice"
group = "a team"

[[key]]
name = "alina"
key = "alina"
group = "a team"
"""


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("keys") / "keys.toml"
    file.write_text(KEYS)
    return file


@pytest.fixture(scope="module")
def apart(keys_file: Path) -> Iterator[Server]:
    with running_server(keys_file=keys_file, api_keys="bob") as server:
        yield server


@pytest.fixture(scope="module")
def sharing(keys_file: Path) -> Iterator[Server]:
    with running_server(keys_file=keys_file, api_keys="bob", share_image_features=True) as server:
        yield server


def picture(width: int) -> str:
    return data_uri(image_file(size=(width, 64)))


def seen(server: Server, image: str, key: dict[str, str]) -> dict[str, Any]:
    """Everything by which a key could find out that an image's features are there before it asks about it."""
    with server.client(headers=key) as client:
        estimate = checked(client.post("/v1/estimate", json={"image_url": image}))
        answer = checked(client.post("/v1/vqa", json=body(image_url=image, question="What?")))
    return {
        "estimate resident": estimate["features_resident"],
        "estimate encode": estimate["flops"]["encode"] == 0,
        "usage": answer["usage"]["image_features_cached"],
        "encode time": answer["timings"]["encode"] == 0,
    }


def black_but_for(corner: tuple[int, int, int]) -> str:
    image = Image.new("RGB", (400, 400))
    image.paste(corner, (0, 0, 40, 40))
    file = BytesIO()
    image.save(file, "PNG")
    return data_uri(file.getvalue(), "image/png")


def upload(server: Server, image: str, key: dict[str, str]) -> dict[str, Any]:
    with server.client(headers=key) as client:
        return checked(client.post("/v1/images", json={"image_url": image}))


def checked(response: httpx.Response) -> dict[str, Any]:
    assert response.is_success, response.text
    return dict(response.json())


NOTHING = {"estimate resident": False, "estimate encode": False, "usage": False, "encode time": False}
ALL = dict.fromkeys(NOTHING, True)


def test_a_key_learns_nothing_of_the_images_that_another_has_asked_about(apart: Server) -> None:
    assert seen(apart, picture(101), ALICE) == NOTHING
    assert seen(apart, picture(101), BOB) == NOTHING
    assert seen(apart, picture(101), ALICE) == ALL
    assert seen(apart, picture(101), BOB) == ALL


def test_a_key_learns_nothing_of_the_parts_of_images_that_another_has_asked_about(apart: Server) -> None:
    with apart.client(headers=ALICE) as client:
        first = checked(client.post("/v1/vqa", json=body(image_url=black_but_for((255, 0, 0)), question="What?")))
    image = black_but_for((0, 255, 0))
    told = []
    for key in (BOB, ALINA):  # she is of Alice's group
        with apart.client(headers=key) as client:
            told.append(checked(client.post("/v1/estimate", json={"image_url": image}))["image_tiles_cached"])
            answer = checked(client.post("/v1/vqa", json=body(image_url=image, question="What?")))
            told.append(answer["usage"]["image_tiles_cached"])
    equal = first["usage"]["image_tiles_cached"]
    assert equal == 2  # three of its own tiles are black
    assert told == [equal, equal, 3, 3]


def test_keys_of_one_group_share_what_they_have_paid_for(apart: Server) -> None:
    assert seen(apart, picture(102), ALICE) == NOTHING
    assert seen(apart, picture(102), ALINA) == ALL
    mine, ours = upload(apart, picture(103), ALICE), upload(apart, picture(103), ALINA)
    assert mine["id"] == ours["id"]
    with apart.client(headers=ALINA) as client:
        assert client.post("/v1/vqa", json=body(image_url=mine["id"], question="What?")).is_success


def test_an_upload_tells_nothing_of_another_keys_upload_of_the_same_pixels(apart: Server) -> None:
    assert seen(apart, picture(104), ALICE) == NOTHING
    mine = upload(apart, picture(104), ALICE)
    assert mine["features_resident"]
    theirs = upload(apart, picture(104), BOB)
    assert theirs["id"] != mine["id"]
    assert not theirs["features_resident"]
    with apart.client(headers=BOB) as client:
        assert client.get(f"/v1/images/{mine['id']}").status_code == 404
        assert client.delete(f"/v1/images/{theirs['id']}").status_code == 204
    assert seen(apart, picture(104), ALICE) == ALL  # what Bob forgot was Bob's alone


def test_answers_do_not_depend_on_who_asks(apart: Server) -> None:
    said = [
        checked(httpx.post(f"{apart.url}/v1/caption", json=body(image_url=picture(105)), headers=key))["caption"]
        for key in (ALICE, BOB)
    ]
    assert said[0] == said[1]


def test_with_the_setting_all_keys_share_features_and_ids_and_no_images(sharing: Server) -> None:
    assert seen(sharing, picture(106), ALICE) == NOTHING
    assert seen(sharing, picture(106), BOB) == ALL
    mine, theirs = upload(sharing, picture(107), ALICE), upload(sharing, picture(107), BOB)
    assert mine["id"] == theirs["id"]
    with sharing.client(headers=BOB) as client:
        assert client.delete(f"/v1/images/{mine['id']}").status_code == 204
    with sharing.client(headers=ALICE) as client:
        assert client.get(f"/v1/images/{mine['id']}").status_code == 200
