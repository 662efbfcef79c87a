"""Odd images over every route that takes one: read alike, and told of in every kind of answer."""

from __future__ import annotations

import json

import pytest

from service.decoding.decode import IMAGE_END_MISSING
from tests.support.pictures import (
    BROKEN_EXIF,
    black_on_transparent,
    exif,
    frames,
    on_white,
    png_with_text,
    saved,
    scene,
    with_exif,
)
from tests.support.serving import assert_problem, data_uri, events_of, running_server

GREEDY = {"max_tokens": 6}
WHOLE = saved(scene(), "JPEG", quality=95)


@pytest.fixture(scope="module")
def client():
    with running_server() as server, server.client() as client:
        yield client


def caption_by_form(client, file):
    return client.post("/v1/caption", data={"settings": json.dumps(GREEDY)}, files={"image": ("a.jpg", file)})


def caption_raw(client, file):
    headers = {"Content-Type": "image/jpeg"}  # whatever it is: files are judged by their content
    return client.post("/v1/caption", params={"settings": json.dumps(GREEDY)}, content=file, headers=headers)


def caption_json(client, file):
    return client.post("/v1/caption", json={"image_url": data_uri(file), "settings": GREEDY})


def upload(client, file):
    return client.post("/v1/images", content=file, headers={"Content-Type": "image/jpeg"})


def chat(client, file, **fields):
    content = [{"type": "image_url", "image_url": {"url": data_uri(file)}}, {"type": "text", "text": "What is it?"}]
    body = {"messages": [{"role": "user", "content": content}], "max_tokens": 6, "temperature": 0, **fields}
    return client.post("/v1/chat/completions", json=body)


ROUTES = [caption_by_form, caption_raw, caption_json, upload, chat]


def about(response) -> dict:
    told = response.json()
    told = told.get("pheye", told)
    return {"image": told["image"], "warnings": told["warnings"]}


@pytest.mark.parametrize("send", ROUTES)
@pytest.mark.parametrize(
    ("file", "form", "told"),
    [
        pytest.param(WHOLE, "JPEG", {}, id="jpeg"),
        pytest.param(with_exif("JPEG", BROKEN_EXIF["garbage"]), "JPEG", {}, id="garbage-exif"),
        pytest.param(with_exif("PNG", BROKEN_EXIF["cut"]), "PNG", {}, id="cut-exif"),
        pytest.param(with_exif("WEBP", BROKEN_EXIF["no-head"]), "WEBP", {}, id="empty-exif"),
        pytest.param(with_exif("PNG", exif(6)), "PNG", {}, id="turned"),
        pytest.param(saved(black_on_transparent(), "PNG"), "PNG", {"has_transparency": True}, id="transparent"),
        pytest.param(png_with_text(b"zTXt", 3_000_000), "PNG", {}, id="comment"),
        pytest.param(saved(scene(), "AVIF"), "AVIF", {}, id="avif"),
        pytest.param(WHOLE[:-2], "JPEG", {"warnings": [IMAGE_END_MISSING]}, id="no-end"),
        pytest.param(frames("GIF", 5), "GIF", {"frames": 5, "width": 16, "height": 12}, id="animation"),
    ],
)
def test_every_route_reads_it_and_tells_what_it_was(client, send, file, form, told):
    response = send(client, file)
    assert response.status_code in (200, 201), response.text
    expected = {"format": form, "width": 240, "height": 240, "frames": 1, "has_transparency": False, **told}
    warnings = expected.pop("warnings", [])
    assert about(response) == {"image": expected, "warnings": warnings}


@pytest.mark.parametrize("send", ROUTES)
@pytest.mark.parametrize(
    ("file", "status", "words"),
    [
        pytest.param(WHOLE[: len(WHOLE) // 2], 422, "broken or cut short", id="half"),
        pytest.param(saved(scene().convert("F"), "TIFF"), 415, "floating-point numbers", id="floats"),
    ],
)
def test_every_route_refuses_what_shows_no_picture(client, send, file, status, words):
    response = send(client, file)
    if send is chat:
        assert response.status_code == 400 or response.status_code == status
        assert words in response.json()["error"]["message"]
    else:
        assert_problem(response, status, words)


def test_equal_pixels_have_one_id_and_one_answer_whatever_is_beside_them(client):
    files = [saved(scene(), "PNG"), png_with_text(b"iTXt", 3_000_000), with_exif("PNG", BROKEN_EXIF["odd-types"])]
    assert len({upload(client, file).json()["id"] for file in files}) == 1
    assert len({caption_json(client, file).json()["caption"] for file in files}) == 1
    clear, white = saved(black_on_transparent(), "PNG"), saved(on_white(black_on_transparent()), "PNG")
    assert upload(client, clear).json()["id"] == upload(client, white).json()["id"]


def test_an_image_named_by_its_id_is_told_of_as_it_was_uploaded(client):
    image_id = upload(client, WHOLE[:-2]).json()["id"]
    expected = about(client.get(f"/v1/images/{image_id}"))
    assert expected["warnings"] == [IMAGE_END_MISSING]
    assert about(client.post("/v1/caption", json={"image_url": image_id, "settings": GREEDY})) == expected
    assert about(client.post("/v1/estimate", json={"image_url": image_id})) == expected
    assert about(client.post("/v1/estimate", json={})) == {"image": None, "warnings": []}


def test_streams_tell_of_the_image_in_their_last_piece(client):
    body = {"image_url": data_uri(WHOLE[:-2]), "settings": GREEDY, "stream": True}
    with client.stream("POST", "/v1/caption", json=body) as response:
        *_, last = events_of(response)
    assert (last["image"]["format"], last["warnings"]) == ("JPEG", [IMAGE_END_MISSING])
    for options in ({}, {"stream_options": {"include_usage": True}}):
        text = chat(client, WHOLE[:-2], stream=True, **options).text
        *pieces, done = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
        told = [json.loads(piece).get("pheye") for piece in pieces]
        assert done == "[DONE]"
        assert told[-1].pop("confidence") < 0.0
        assert told[-1] == {"image": last["image"], "warnings": [IMAGE_END_MISSING]}
        assert not any(told[:-1])
