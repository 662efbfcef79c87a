"""The service under a path prefix, behind nginx and HAProxy that strip it and that do not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import httpx
import pytest

from tests.support.browser import chromium, is_own, visit
from tests.support.proxies import PROXIES, program, running_proxy
from tests.support.serving import Server, assert_problem, body, image_file, running_server

PREFIX = "/pheye"
KEY = {"authorization": "Bearer secret"}
# What docs/operations.md says to change in the configurations of deploy/proxy/.
EDITS: Mapping[str, Mapping[str, str]] = {
    "nginx": {"location / {": "location /pheye/ {", "location = /metrics": "location = /pheye/metrics"},
    "nginx, strips": {
        "location / {": "location /pheye/ {",
        "proxy_pass http://pheye;": "proxy_pass http://pheye/;",
        "location = /metrics": "location = /pheye/metrics",
    },
    "haproxy": {},
    "haproxy, strips": {
        "    balance leastconn\n": "    balance leastconn\n"
        "    http-request redirect code 308 location /pheye/ if { path /pheye }\n"
        "    http-request replace-path /pheye/(.*) /\\1\n"
    },
}


@dataclass
class Published:
    """The service, and where a proxy publishes it."""

    server: Server
    url: str

    @property
    def origin(self) -> str:
        return self.url.removesuffix(PREFIX)

    def get(self, path: str, **kwargs: object) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", **kwargs)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    for name in PROXIES:
        program(name)
    settings = {"root_path": PREFIX, "trusted_proxies": "127.0.0.1", "api_keys": "secret", "default_max_tokens": 8}
    with running_server(**settings) as running:
        yield running


@pytest.fixture(scope="module", params=EDITS, ids=lambda name: name.replace(", ", "-"))
def published(server: Server, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    name = request.param.partition(",")[0]
    port = int(server.url.rpartition(":")[2])
    folder = tmp_path_factory.mktemp("proxy") / name
    with running_proxy(name, folder, (port, port), EDITS[request.param], PREFIX) as url:
        yield Published(server, url)


def test_every_link_of_the_index_leads_to_a_route(published: Published) -> None:
    links = published.get("/v1", headers=KEY).json()["links"]
    assert links["playground"] == f"{PREFIX}/"
    for name in ("playground", "docs", "openapi", "live", "ready"):
        assert httpx.get(published.origin + links[name]).status_code == 200
    assert httpx.post(published.origin + links["caption"], json=body(), headers=KEY).status_code == 200
    assert links["metrics"] == f"{PREFIX}/metrics"
    assert published.get("/metrics", headers=KEY).status_code == 404  # the proxies keep it to themselves
    assert httpx.get(f"{published.server.url}/metrics", headers=KEY).status_code == 200


def test_the_location_of_an_upload_is_where_it_is(published: Published) -> None:
    made = httpx.post(f"{published.url}/v1/images", files={"image": image_file()}, headers=KEY)
    assert made.headers["location"] == f"{PREFIX}/v1/images/{made.json()['id']}"
    assert httpx.get(published.origin + made.headers["location"], headers=KEY).json()["id"] == made.json()["id"]


def test_keys_errors_and_metrics_know_the_route_below_the_prefix(published: Published) -> None:
    for path in ("/livez", "/readyz", "/health", "/", "/docs", "/openapi.json", "/playground/app.js"):
        assert published.get(path).status_code == 200, path
    assert_problem(published.get("/v1"), 401, "Authorization: Bearer")
    assert_problem(published.get("/nosuch", headers=KEY), 404, "no such route")
    chat = httpx.post(f"{published.url}/v1/chat/completions", json={}, headers=KEY)
    assert chat.json().keys() == {"error"}
    series = 'pheye_requests_total{endpoint="/v1/chat/completions",status="400"}'
    assert published.server.metric(series, **KEY) >= 1


def test_the_document_names_the_prefix_and_the_bare_prefix_leads_to_the_page(published: Published) -> None:
    assert published.get("/openapi.json").json()["servers"] == [{"url": PREFIX}]
    bare = published.get("")
    assert bare.status_code in (301, 308)
    assert httpx.URL(published.url).join(bare.headers["location"]) == f"{published.url}/"


@pytest.mark.parametrize("published", ["nginx", "haproxy, strips"], indirect=True)
def test_the_pages_work_under_the_prefix(published: Published) -> None:
    with chromium() as browser:
        with visit(browser, published.url, extra_http_headers=KEY) as visitor:
            visitor.expected.append("404")  # of /metrics, which the proxies keep to themselves
            visitor.sample()
            visitor.until(visitor.ask(), "done")
            code = visitor.code(visitor.newest(), "curl")
            assert re.findall(r"http://\S+?/v1/caption", code) == [f"{published.url}/v1/caption"]
        page = browser.new_page(extra_http_headers=KEY)
        foreign: list[str] = []
        page.on("request", lambda sent: None if is_own(sent.url, published.url) else foreign.append(sent.url))
        page.goto(f"{published.url}/docs")
        block = page.locator(".opblock-post:has([data-path='/v1/caption'])")
        block.locator(".opblock-summary-control").click()
        with page.expect_response(lambda response: response.request.method == "POST") as answered:
            block.locator("button.execute").click()
        assert answered.value.ok
        assert answered.value.url == f"{published.url}/v1/caption"
        assert foreign == []
