"""Pages of other origins: who is let in, what their browser is told, on errors and streams too, before any key."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.serving import Server, assert_problem, body, running_server

ORIGIN, OTHER = "https://app.example.org", "https://evil.example.org"
KEY = {"authorization": "Bearer secret"}
EXPOSED = {"X-Request-Id", "Retry-After", "X-Pheye-Ignored", "X-Pheye-Image-Digest", "Server-Timing"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server(cors_origins=f"{ORIGIN},http://localhost:3000", api_keys="secret") as running:
        yield running


def preflight(server: Server, path: str = "/v1/vqa", origin: str = ORIGIN, **headers: str) -> httpx.Response:
    asked = {"origin": origin, "access-control-request-method": "POST"} | headers
    return httpx.options(f"{server.url}{path}", headers=asked)


@pytest.mark.parametrize("path", ["/v1/vqa", "/v1/chat/completions", "/v1/images/img_1", "/nosuch"])
def test_a_preflight_is_answered_without_a_key(server: Server, path: str) -> None:
    asked = "authorization,content-type,x-stainless-arch"
    response = preflight(server, path, **{"access-control-request-headers": asked})
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert {"GET", "HEAD", "POST", "DELETE"} == set(response.headers["access-control-allow-methods"].split(", "))
    assert response.headers["access-control-allow-headers"] == asked
    assert int(response.headers["access-control-max-age"]) > 0
    assert "Origin" in response.headers["vary"]
    assert "content-type" not in response.headers
    assert response.headers["x-request-id"]


def test_header_names_that_are_none_are_not_repeated(server: Server) -> None:
    response = preflight(server, **{"access-control-request-headers": "a: b;<c>"})
    assert response.status_code == 204
    assert "access-control-allow-headers" not in response.headers


def test_a_page_of_another_origin_gets_nothing(server: Server) -> None:
    refused = preflight(server, origin=OTHER)
    assert_problem(refused, 401, "Authorization: Bearer")
    answered = httpx.post(f"{server.url}/v1/caption", json=body(), headers=KEY | {"origin": OTHER})
    for response in (refused, answered):
        assert not [name for name in response.headers if name.startswith("access-control-")]
        assert response.headers["vary"] == "Origin"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_answer_may_be_read_with_its_headers(server: Server, stream: bool) -> None:
    asked = body(stream=stream)
    response = httpx.post(f"{server.url}/v1/caption", json=asked, headers=KEY | {"origin": ORIGIN})
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert set(response.headers["access-control-expose-headers"].split(", ")) >= EXPOSED
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 401), (KEY, 415), (KEY | {"content-type": "application/json"}, 400)]
)
@pytest.mark.parametrize("path", ["/v1/caption", "/v1/chat/completions"])
def test_a_refusal_may_be_read_too(server: Server, path: str, headers: dict[str, str], status: int) -> None:
    response = httpx.post(f"{server.url}{path}", content=b"{", headers=headers | {"origin": ORIGIN.upper()})
    assert response.status_code == (400 if "chat" in path and status == 415 else status)
    assert response.headers["access-control-allow-origin"] == ORIGIN.upper()


def test_preflights_are_counted_and_leave_the_log_alone(server: Server) -> None:
    preflight(server, path="/v1/estimate")
    assert server.metric('pheye_requests_total{endpoint="other",status="204"}', **KEY) >= 1
    assert "OPTIONS '/v1/estimate'" not in server.log


def test_a_star_opens_the_service_to_every_page_and_never_to_cookies() -> None:
    with running_server(ready=False, cors_origins="*") as server:
        for response in (preflight(server, origin=OTHER), httpx.get(f"{server.url}/livez", headers={"origin": OTHER})):
            assert response.headers["access-control-allow-origin"] == "*"
            assert "access-control-allow-credentials" not in response.headers
        assert "access-control-allow-origin" not in httpx.get(f"{server.url}/livez").headers


def test_without_the_setting_nothing_of_it_is_said() -> None:
    with running_server(ready=False) as server:
        assert_problem(preflight(server), 405, "this route does not take OPTIONS; PHEYE_CORS_ORIGINS lists")
        assert "CORS" not in httpx.options(f"{server.url}/v1/vqa").text
        response = httpx.get(f"{server.url}/livez", headers={"origin": ORIGIN})
        assert "vary" not in response.headers
        assert "access-control-allow-origin" not in response.headers
