"""A narrow service - one slot, keys, small bodies: who is let in, and what is refused at the door."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support.serving import ENDLESS, assert_problem, body, running_server, wait_until

LONG = {"max_tokens": 700, **ENDLESS}
FIRST = {"authorization": "Bearer first"}


@pytest.fixture(scope="module")
def narrow():
    """One slot, one place to wait, keys, and little patience."""
    with running_server(
        slots=1, max_waiting=1, api_keys="first,second", sse_ping_s=0.1, name="eye", max_body_bytes=2**21
    ) as running:
        yield running


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic first"}, {"x-moondream-auth": "firs"}],
    ids=["none", "wrong", "basic", "prefix"],
)
@pytest.mark.parametrize(
    "path", ["/v1", "/v1/caption", "/metrics", "/nosuch", "/livez/", "//livez", "/docsx", "//docs", "/docs/../v1"]
)
def test_without_a_key_every_route_but_the_probes_and_the_pages_is_closed(narrow, path, headers):
    response = httpx.get(narrow.url + path, headers=headers)
    assert_problem(response, 401, "Authorization: Bearer")
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "headers",
    [FIRST, {"authorization": "bearer second"}, {"x-moondream-auth": "second"}],
    ids=["one", "two", "moondream"],
)
def test_any_of_the_keys_opens_the_service(narrow, headers):
    assert httpx.post(f"{narrow.url}/v1/caption", json=body(), headers=headers).is_success


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/", "/docs", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/openapi.json"]
)
def test_probes_and_pages_need_no_key(narrow, path):
    assert httpx.get(narrow.url + path).is_success


def test_the_served_name_is_the_one_that_was_set(narrow):
    answer = httpx.post(f"{narrow.url}/v1/caption", json=body(model="eye"), headers=FIRST)
    assert answer.json()["model"] == "eye"


def test_a_full_waiting_room_refuses_before_it_looks_at_the_image(narrow):
    with ThreadPoolExecutor(2) as pool, narrow.client(headers=FIRST) as client:

        def ask():
            return client.post("/v1/caption", json=body(settings=LONG))

        running = pool.submit(ask)
        wait_until(lambda: narrow.metric("pheye_requests_running", **FIRST) == 1.0)
        waiting = pool.submit(ask)
        wait_until(lambda: narrow.metric("pheye_requests_waiting", **FIRST) == 1.0)
        refused = client.post("/v1/caption", json=body(image_url="data:;base64,aGVsbG8="))
        assert not running.done()
        assert_problem(refused, 429, "1 of 1 places are taken")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert running.result().is_success
        assert waiting.result().is_success
    assert narrow.metric('pheye_requests_dropped_total{reason="full"}', **FIRST) == 1.0


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_a_body_that_is_too_large_is_refused_and_the_client_hears_it(narrow, chunked):
    pieces = [b"x" * 2**16] * 80
    content = iter(pieces) if chunked else b"".join(pieces)
    response = httpx.post(f"{narrow.url}/v1/caption", content=content, headers=FIRST | {"content-type": "image/jpeg"})
    assert_problem(response, 413, "body: more than the 2097152 bytes")
