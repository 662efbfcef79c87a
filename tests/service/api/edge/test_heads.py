"""Heads of requests and responses over real sockets: HEAD, ids, traces, aliases, timings, idle connections."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as text_metrics

from service.api.app import ROUTERS
from service.api.connections.protocol import PROBE_PATHS
from service.api.routes import health
from tests.support.attackers import connect, read_to_end
from tests.support.serving import Server, assert_problem, body, image_file, running_server, wait_until

GETS = sorted(
    route.path  # type: ignore[attr-defined]
    for router in ROUTERS
    for route in router.routes
    if "GET" in getattr(route, "methods", ())
)
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
READINESS = ("/readyz", "/health", "/healthz", "/ping")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """It forgets idle connections soon, and says all it has to say."""
    with running_server(idle_timeout_s=1.0, log_level="debug") as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def stored(server: Server) -> str:
    with server.client() as client:
        return str(client.post("/v1/images", files={"image": image_file()}).json()["id"])


@pytest.mark.parametrize("path", GETS)
def test_head_is_get_without_the_body(client: httpx.Client, stored: str, path: str) -> None:
    name = {"/v1/models/{model:path}": client.get("/v1").json()["model"]["name"], "/v1/images/{image_id}": stored}
    files = {"/docs/{name}": "/docs/page.js", "/playground/{name:path}": "/playground/app.js"}
    full = files.get(path) or path.partition("{")[0] + name.get(path, "")
    got, head = client.get(full), client.head(full)
    assert (head.status_code, got.status_code) == (200, 200)
    assert head.content == b""
    varying = {"x-request-id", "date", "content-length"}
    assert {k: v for k, v in head.headers.items() if k not in varying} == {
        k: v for k, v in got.headers.items() if k not in varying
    }
    if path not in ("/metrics", "/v1/images", "/v1/images/{image_id}"):  # these change from one request to the next
        assert head.headers["content-length"] == str(len(got.content))


def test_head_of_what_get_does_not_take_is_refused_as_get_is(server: Server, client: httpx.Client) -> None:
    assert client.head("/v1/caption").status_code == client.get("/v1/caption").status_code == 405
    assert client.head("/nosuch").status_code == 404
    assert client.head("/nosuch").content == b""
    assert "HEAD '/nosuch'" in server.log


def test_nothing_follows_the_head_and_the_connection_goes_on(server: Server) -> None:
    request = b"HEAD /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"
    with connect(server) as raw:
        raw.sendall(request + b"HEAD /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        first, second, rest = read_to_end(raw).split(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200 ")
    assert second.startswith(b"HTTP/1.1 200 ")
    assert rest == b""


def test_an_id_comes_back_everywhere(server: Server, client: httpx.Client) -> None:
    sent = {"x-request-id": "abc-123"}
    answer = client.post("/v1/caption", json=body(), headers=sent)
    assert answer.headers["x-request-id"] == answer.json()["id"] == "abc-123"
    wait_until(lambda: "abc-123 POST '/v1/caption' 200" in server.log)
    refused = client.post("/v1/caption", json=body(length="x"), headers=sent)
    assert assert_problem(refused, 422, "length")["instance"] == "/requests/abc-123"
    forged = client.get("/livez", headers={"x-request-id": "x' 200\tforged"})
    assert len(forged.headers["x-request-id"]) == 32
    assert "forged" not in server.log


def test_the_worker_names_the_request_and_its_trace_too(server: Server, client: httpx.Client) -> None:
    sent = {"x-request-id": "named-1", "traceparent": f"00-{TRACE}-{PARENT}-01"}
    answer = client.post("/v1/caption", json=body(stream=True), headers=sent)
    assert answer.status_code == 200
    returned = answer.headers["traceparent"].split("-")
    assert (returned[1], returned[3]) == (TRACE, "01")
    assert returned[2] != PARENT
    name = f"named-1 trace={TRACE}"
    wait_until(lambda: f"{name} POST" in server.log)
    assert f"pheye.engine: request {name} is answered" in server.log


def test_a_trace_that_is_none_is_not_returned(client: httpx.Client) -> None:
    assert "traceparent" not in client.get("/livez", headers={"traceparent": "00-x-y-z"}).headers
    assert "traceparent" not in client.get("/livez").headers


@pytest.mark.parametrize("path", READINESS)
def test_readiness_has_the_names_that_others_give_it(server: Server, client: httpx.Client, path: str) -> None:
    assert client.get(path).json() == client.get("/readyz").json()
    assert server.metric(f'pheye_requests_total{{endpoint="{path}",status="200"}}') >= 1


def test_every_name_of_readiness_is_treated_like_it() -> None:
    with running_server(ready=False, api_keys="secret") as server:
        for path in READINESS:
            assert httpx.get(f"{server.url}{path}").status_code in (200, 503)  # and not 401
            assert f"GET '{path}'" not in server.log


def test_whatever_the_log_leaves_out_is_answered_when_too_many_connections_are_open() -> None:
    assert {route.path for route in health.router.routes if getattr(route, "dependencies", None)} == set(PROBE_PATHS)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "text/plain; version=0.0.4"),
        ("*/*", "text/plain; version=0.0.4"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0"),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3", "application/openmetrics"),
        ("application/openmetrics-text;version=none,text/plain", "text/plain; version=0.0.4"),
        ("text/plain;version=99999999999999999999999999", "text/plain"),
    ],
    ids=["nothing", "anything", "openmetrics", "prometheus", "no-version", "absurd"],
)
def test_metrics_come_in_the_format_that_is_asked_for(client: httpx.Client, accept: str | None, kind: str) -> None:
    response = client.get("/metrics", headers={} if accept is None else {"accept": accept})
    assert response.headers["content-type"].startswith(kind)
    assert response.headers["vary"] == "Accept"
    families = (open_metrics if "openmetrics" in kind else text_metrics)(response.text)
    assert "pheye_ready" in {family.name for family in families}


def test_an_answer_says_where_its_time_went_in_milliseconds(client: httpx.Client) -> None:
    answer = client.post("/v1/caption", json=body())
    timings = answer.json()["timings"]
    told = dict(each.split(";dur=") for each in answer.headers["server-timing"].split(", "))
    assert told.keys() == timings.keys()
    for name, seconds in timings.items():
        assert float(told[name]) == pytest.approx(1000 * seconds, abs=0.001)
        assert len(str(seconds).partition(".")[2]) <= 6 or "e" in str(seconds)
    content = [
        {"type": "image_url", "image_url": {"url": body()["image_url"]}}, {"type": "text", "text": "What is it?"}
    ]  # fmt: skip
    chat = client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": content}]})
    assert "total;dur=" in chat.headers["server-timing"]
    streamed = client.post("/v1/caption", json=body(stream=True))
    assert streamed.headers["server-timing"].startswith("preprocess;dur=")


def test_an_answer_without_a_body_says_nothing_of_its_type(client: httpx.Client, stored: str) -> None:
    gone = client.post("/v1/images", files={"image": image_file(size=(31, 30))}).json()["id"]
    response = client.delete(f"/v1/images/{gone}")
    assert (response.status_code, response.content) == (204, b"")
    assert "content-type" not in response.headers
    assert "content-length" not in response.headers


def answer_of(connection: socket.socket) -> bytes:
    """One answer of the liveness probe, up to its last byte."""
    received = b""
    while not received.endswith(b"}"):
        received += connection.recv(65536)
    return received


def test_an_idle_connection_is_kept_for_its_time_and_no_longer(server: Server) -> None:
    request = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
    with connect(server) as kept:
        for pause_s in (0.3, 0.0):
            kept.sendall(request)
            assert answer_of(kept).startswith(b"HTTP/1.1 200 ")
            time.sleep(pause_s)
        began_s = time.monotonic()
        assert read_to_end(kept) == b""  # the server closes it
        assert time.monotonic() - began_s >= 0.9
