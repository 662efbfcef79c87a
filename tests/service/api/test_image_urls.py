"""Images by URL and in base64 over every route that takes an image, against a web server of our own."""

from __future__ import annotations

import base64
import json
import textwrap
from collections.abc import Iterator

import httpx
import moondream
import pytest
from moondream.types import Base64EncodedImage

from tests.support.hostile_web import Web, answer, hostile_web, redirect
from tests.support.serving import (
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

IMAGE = image_file("PNG", (70, 50))
URI = data_uri(IMAGE, "image/png")
SETTINGS = {"max_tokens": 8} | TALKATIVE
ANSWERS = {
    "/a.png": answer(IMAGE, "Content-Type: application/octet-stream"),
    "/moved": redirect("/a.png"),
    "/away": redirect("http://10.1.2.3/secret"),
    "/html": answer(b"<!doctype html>secret", "Content-Type: image/png"),
    "/broken": answer(IMAGE[:200]),
}


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with hostile_web(ANSWERS) as running:
        yield running


@pytest.fixture(scope="module")
def server(web: Web) -> Iterator[Server]:
    with running_server(image_hosts=f"127.0.0.1:{web.port}, listed.invalid", log_level="debug") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def chat(url: str, **fields: object) -> dict[str, object]:
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What?"}]
    return {
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 8,
        "temperature": 1.0,
        "seed": 1,
        **fields,
    }


def said(client: httpx.Client, url: str) -> list[str]:
    """What each route says about an image."""
    asked = body(image_url=url, settings=SETTINGS)
    flat = {"image_url": url, "settings": json.dumps(SETTINGS)}
    with client.stream("POST", "/v1/caption", json=asked | {"stream": True}) as stream:
        streamed = "".join(event.get("chunk", "") for event in events_of(stream))
    parts = {name: (None, value) for name, value in flat.items()}  # a form without a file
    answers = [
        client.post("/v1/caption", json=asked).json()["caption"],
        client.post("/v1/caption", files=parts).json()["caption"],
        streamed,
        client.post("/v1/query", json=asked | {"question": "What?"}).json()["answer"],
        client.post("/v1/chat/completions", json=chat(url)).json()["choices"][0]["message"]["content"],
        client.post("/v1/images", json={"image_url": url}).json()["id"],
    ]
    assert client.post("/v1/estimate", json={"image_url": url}).json()["features_resident"] is True
    return answers


@pytest.mark.parametrize("path", ["/a.png", "/moved", "/a.png?signature=a%2Bb"])
def test_an_image_by_its_url_is_the_image_on_every_route(client, web, path):
    assert said(client, web.url(path)) == said(client, URI)


def test_a_query_alone_may_name_the_url(client, web):
    flat = {"image_url": web.url("/a.png?b=1&c"), "settings": json.dumps(SETTINGS)}
    assert client.post("/v1/caption", params=flat).json()["caption"] == said(client, URI)[0]


@pytest.mark.parametrize("query", ["b=1%20c", "b=1+c", "b=%2B1", "b=c%C3%A9"])
def test_a_url_in_a_query_is_fetched_as_it_was_written(client, web, query):
    url = web.url(f"/a.png?{query}")
    for sent in ({"params": {"image_url": url}}, {"json": {"image_url": url}}):
        assert client.post("/v1/estimate", **sent).is_success
        assert web.paths[-1] == f"/a.png?{query}"


@pytest.mark.parametrize("path", ["/a.png?b=1%20c", "/a.png?b=1+c"])
def test_a_url_in_a_query_that_was_not_encoded_again_is_fetched_as_it_was_written(client, web, path):
    assert client.post(f"/v1/estimate?image_url={web.url(path)}").is_success
    assert web.paths[-1] == path


def test_features_of_a_url_are_cached_by_its_pixels(client, web):
    client.post("/v1/caption", json=body(image_url=URI))
    usage = client.post("/v1/caption", json=body(image_url=web.url("/a.png"))).json()["usage"]
    assert usage["image_features_cached"] is True


REFUSED = {
    "another-host": (
        "http://example.org/secret?secret",
        "image_url: example.org: this host is not allowed; PHEYE_IMAGE_",
    ),
    "another-port": ("http://127.0.0.1:22/secret", "image_url: 127.0.0.1: port 22 is not allowed"),
    "loopback-by-another-name": ("http://localhost/secret", "image_url: localhost: this host is not allowed"),
    "no-such-name": ("http://listed.invalid/secret", "image_url: listed.invalid: there is no such host"),
    "a-number": ("http://2130706433/secret", "image_url: a number for a host"),
    "credentials": ("http://me:secret@127.0.0.1/", "image_url: no user and no password"),
    "no-url": ("http://", "image_url: not an http(s) URL"),
    "away": ("/away", "image_url: 10.1.2.3: this host is not allowed"),
    "html": ("/html", "image_url: 127.0.0.1: what it sent is no image"),
    "broken": ("/broken", "image: broken or cut short"),
}


@pytest.mark.parametrize(("url", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_a_url_without_an_image_is_422_by_host_and_reason(client, web, url, words):
    asked = web.url(url) if url.startswith("/") else url
    for path, fields in {
        "/v1/caption": body(image_url=asked),
        "/v1/vqa": body(image_url=asked, question="What?"),
        "/v1/images": {"image_url": asked},
        "/v1/estimate": {"image_url": asked},
    }.items():
        problem = assert_problem(client.post(path, json=fields), 422, words)
        assert "secret" not in str(problem)
    refused = client.post("/v1/chat/completions", json=chat(asked))
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith(f"messages: {words}")
    assert refused.json()["error"]["param"] == "messages"


def test_a_client_that_hangs_up_ends_its_fetch(server, web):
    before = server.metric('pheye_image_fetches_total{outcome="cancelled"}')
    web.left.clear()
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.url}/v1/caption", json=body(image_url=web.url("/held")), timeout=1.0)
    assert web.left.wait(30)
    wait_until(lambda: server.metric('pheye_image_fetches_total{outcome="cancelled"}') == before + 1, 30)
    wait_until(lambda: server.metric("pheye_image_fetches_running") == 0, 30)


def test_a_slow_host_is_waited_for_no_longer_than_the_request(web):
    with running_server(image_hosts=f"127.0.0.1:{web.port}", deadline_s=0.5) as server:
        late = httpx.post(f"{server.url}/v1/caption", json=body(image_url=web.url("/held")), timeout=60)
        assert server.metric("pheye_image_fetch_seconds_count") == 1
    assert_problem(late, 504, "no complete answer within 0.5 s")


def test_whole_urls_are_in_no_log(server, client, web):
    assert client.post("/v1/caption", json=body(image_url=web.url("/a.png?signature=topsecret"))).is_success
    assert "topsecret" not in server.log


TEXT = base64.b64encode(IMAGE).decode()
WRITTEN = {
    "line-breaks": "data:image/png;base64," + "\r\n".join(textwrap.wrap(TEXT, 76)) + "\r\n",
    "unpadded-and-url-safe": "data:;base64," + base64.urlsafe_b64encode(IMAGE).decode().rstrip("="),
    "bare": TEXT,
    "bare-in-lines": base64.encodebytes(IMAGE).decode(),
    "upper-case": "DATA:IMAGE/PNG;CHARSET=UTF-8;BASE64," + TEXT,
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN.keys())
def test_base64_is_the_image_on_every_route_however_it_is_written(client, written):
    assert said(client, written) == said(client, URI)


def test_a_plus_that_a_query_made_a_blank_of_is_a_plus(client):
    flat = f"settings={json.dumps(SETTINGS)}&image_url="
    answered = client.post("/v1/caption?" + flat + URI)
    assert "+" in URI
    assert answered.json()["caption"] == said(client, URI)[0]


def test_moondreams_client_may_name_an_image_by_its_url(server, web):
    model = moondream.vl(endpoint=f"{server.url}/v1", api_key="any")
    sent, named = (Base64EncodedImage(image_url=url) for url in (URI, web.url("/a.png")))
    assert model.query(named, "What?", settings=SETTINGS) == model.query(sent, "What?", settings=SETTINGS)
