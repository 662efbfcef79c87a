"""Bodies as other people's clients write them: encodings, byte order marks, forms without file names, flat settings."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.support.serving import assert_problem, body, image_file, running_server


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with running_server() as server, server.client() as client:
        yield client


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "GZIP", "gzip, identity"])
@pytest.mark.parametrize("path", ["/v1/caption", "/v1/images", "/v1/chat/completions", "/v1/detect"])
def test_a_compressed_body_is_refused_with_the_reason(client: httpx.Client, path: str, coding: str) -> None:
    headers = {"content-encoding": coding, "content-type": "application/json"}
    response = client.post(path, content=gzip.compress(b"{}"), headers=headers)
    assert response.status_code == (400 if "chat" in path else 415)
    assert f"content-encoding: {coding} is not taken" in response.text
    assert response.headers["accept-encoding"] == "identity"


def test_a_body_that_says_it_is_as_it_is_is_taken(client: httpx.Client) -> None:
    assert client.post("/v1/caption", json=body(), headers={"content-encoding": "identity"}).is_success


UTF_16 = "the JSON is in UTF-16 or UTF-32; send it in UTF-8"


@pytest.mark.parametrize("path", ["/v1/caption", "/v1/chat/completions"])
@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_json_in_another_encoding_is_refused_in_words(client: httpx.Client, path: str, coding: str) -> None:
    headers = {"content-type": f"application/json; charset={coding}"}
    response = client.post(path, content=json.dumps(body()).encode(coding), headers=headers)
    assert response.status_code == 400
    assert UTF_16 in response.text


def test_json_may_begin_with_a_byte_order_mark(client: httpx.Client) -> None:
    headers = {"content-type": "application/json"}
    assert client.post("/v1/caption", content=json.dumps(body()).encode("utf-8-sig"), headers=headers).is_success
    chat = json.dumps({"messages": []}).encode("utf-8-sig")
    assert "not valid JSON" not in client.post("/v1/chat/completions", content=chat, headers=headers).text


@pytest.mark.parametrize("path", ["/v1/caption", "/v1/images"])
def test_an_image_in_a_text_of_a_form_may_be_as_large_as_in_json(client: httpx.Client, path: str) -> None:
    large = image_file() + bytes(1 << 20)  # what follows a picture's end is none of it
    link = f"data:image/png;base64,{base64.b64encode(large).decode()}"
    content, headers = multipart(('name="image_url"', link.encode()))
    assert client.post(path, content=content, headers=headers).is_success


def test_a_text_of_a_form_that_is_too_long_is_named(client: httpx.Client) -> None:
    content, headers = multipart(('name="image"', image_file()), ('name="question"', b"a" * (2 << 20)))
    assert_problem(client.post("/v1/vqa", content=content, headers=headers), 422, "question: ")


@pytest.mark.parametrize("text", [b"\xff\xfe", "Größe?".encode("latin-1"), "何".encode("shift-jis"), b"\xed\xa0\x80"])
def test_text_of_a_form_or_a_query_that_is_not_utf8_is_named_and_not_guessed(client: httpx.Client, text: bytes) -> None:
    content, headers = multipart(('name="image"', image_file()), ('name="question"', text))
    words = "question: not UTF-8 text; send it in UTF-8"
    assert_problem(client.post("/v1/vqa", content=content, headers=headers), 400, words)
    png = {"content-type": "image/png"}
    asked = client.post(f"/v1/vqa?question={quote(text)}", content=image_file(), headers=png)
    assert_problem(asked, 400, words)
    named = client.post(f"/v1/vqa?{quote(text)}=a", content=image_file(), headers=png)
    assert_problem(named, 400, ": not UTF-8 text; send it in UTF-8")


def test_json_that_is_gzip_without_saying_so_is_named(client: httpx.Client) -> None:
    sent = gzip.compress(json.dumps(body()).encode())
    response = client.post("/v1/caption", content=sent, headers={"content-type": "application/json"})
    assert_problem(response, 400, "this is gzip")


def multipart(*parts: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
    """A form written by hand, each part with exactly this Content-Disposition."""
    pieces = [
        f"--edge\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n"
        for head, content in parts
    ]
    return b"".join([*pieces, b"--edge--\r\n"]), {"content-type": "multipart/form-data; boundary=edge"}


@pytest.mark.parametrize(
    "disposition",
    [
        'name="image"; filename="a.jpg"',
        "name=\"image\"; filename*=utf-8''%D1%84.png",
        'name="image"',
        "name=image",
        'name="image"; filename=""',
    ],
    ids=["file-name", "extended-name-only", "none", "none-unquoted", "empty"],
)
def test_a_part_named_image_is_the_image_with_whatever_file_name(client: httpx.Client, disposition: str) -> None:
    content, headers = multipart((disposition, image_file()))
    whole = client.post("/v1/images", files={"image": image_file()}).json()["id"]
    assert client.post("/v1/images", content=content, headers=headers).json()["id"] == whole


@pytest.mark.parametrize("path", ["/v1/caption", "/v1/vqa"])
def test_settings_of_a_form_or_a_query_may_have_fields_of_their_own(client: httpx.Client, path: str) -> None:
    asked = {"question": "What?"} if path == "/v1/vqa" else {}
    settings = {"max_tokens": "7", "temperature": "1.0", "top_p": "0.9", "seed": "1", "stop": ["zzz", "yyy"]}
    whole = {"max_tokens": 7, "temperature": 1.0, "top_p": 0.9, "seed": 1, "stop": ["zzz", "yyy"]}
    jpeg = {"content-type": "image/jpeg"}
    answers = [
        client.post(path, json=body(settings=whole, **asked)),
        client.post(path, data=asked | settings, files={"image": image_file()}),
        client.post(path, data=asked | {"settings": json.dumps(whole)}, files={"image": image_file()}),
        client.post(path, params=asked | settings, content=image_file(), headers=jpeg),
    ]
    texts = [answer.json().get("caption", answer.json().get("answer")) for answer in answers]
    assert [answer.json()["usage"]["completion_tokens"] for answer in answers] == [7] * 4
    assert texts == texts[:1] * 4


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"max_tokens": "5", "settings": '{"max_tokens": 5}'}, "max_tokens: given in settings too"),
        ({"max_tokens": ["5", "6"]}, "max_tokens: given more than once"),
        ({"max_tokens": "many"}, "max_tokens: "),
        ({"temperature": "3"}, "temperature: "),
    ],
    ids=["twice", "repeated", "word", "range"],
)
def test_a_setting_of_a_form_that_is_wrong_is_named(client: httpx.Client, fields: dict[str, str], words: str) -> None:
    problem = assert_problem(client.post("/v1/caption", data=fields, files={"image": image_file()}), 422, words)
    assert str(problem["detail"]).startswith(words)


def test_a_question_given_twice_names_the_field_for_several(client: httpx.Client) -> None:
    answer = client.post("/v1/vqa", data={"question": ["What?", "Why?"]}, files={"image": image_file()})
    assert_problem(answer, 422, "question: given more than once; for several repeat questions instead")


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        pytest.param({"files": {"max_tokens": (None, "5000")}}, "max_tokens", id="form"),
        pytest.param(
            {"files": {"settings": (None, '{"max_tokens": 5000}')}}, "settings.max_tokens", id="form-settings"
        ),
        pytest.param({"files": {"top_p": (None, "7")}}, "top_p", id="form-out-of-range"),
        pytest.param({"params": {"max_tokens": "5000"}, "content": b""}, "max_tokens", id="query"),
        pytest.param({"json": {"settings": {"max_tokens": 5000}}}, "settings.max_tokens", id="JSON"),
        pytest.param({"json": {"question": "why " * 2000}}, "question", id="question"),
        pytest.param({"json": {"questions": ["What?", "why " * 2000]}}, "questions", id="questions"),
    ],
)
def test_an_error_names_the_field_that_was_sent(client: httpx.Client, sent: dict[str, Any], name: str) -> None:
    asked = {kind: values if isinstance(values, bytes) else dict(values) for kind, values in sent.items()}
    fields = next(iter(asked.values()))
    link = body()["image_url"]
    fields["image_url"] = (None, link) if "files" in asked else link
    if not {"question", "questions"} & fields.keys():
        fields["question"] = (None, "What?") if "files" in asked else "What?"
    response = client.post("/v1/vqa", **asked)
    assert str(assert_problem(response, 422, f"{name}: ")["detail"]).startswith(f"{name}: ")


def test_settings_of_both_kinds_add_up(client: httpx.Client) -> None:
    fields = {"max_tokens": "3", "settings": '{"temperature": 1.0, "seed": 1}'}
    answer = client.post("/v1/caption", data=fields, files={"image": image_file()}).json()
    assert answer["usage"]["completion_tokens"] == 3
