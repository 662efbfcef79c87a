"""Which routes need no key: those that are marked, and nothing else. In this process, without workers."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.routing import Match

from service.api.access.keys import KEYLESS
from service.api.app import ROUTERS, create_app
from service.configuration.settings import Settings
from service.dispatch.queue import RequestQueue
from service.metrics.service_metrics import Metrics

ROUTES = [route for router in ROUTERS for route in router.routes]
OPEN = {
    "/livez", "/readyz", "/health", "/healthz", "/ping", "/",
    "/favicon.ico", "/playground/{name:path}", "/docs", "/docs/{name}", "/openapi.json",
}  # fmt: skip


@pytest.fixture(scope="module")
def app():
    settings, metrics = Settings(api_keys="secret"), Metrics()
    return create_app(settings, RequestQueue(settings, metrics), metrics)


def ask(app, method, path):
    async def send():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
            return await client.request(method, path)

    return asyncio.run(send())


def address(route):
    return route.path.replace("{name:path}", "app.js").replace("{name}", "page.js").replace("{", "").replace("}", "")


def is_marked(route):
    return bool(route.openapi_extra) and route.openapi_extra.get("security") == KEYLESS["security"]


def test_the_marked_routes_are_the_probes_and_the_pages():
    assert {route.path for route in ROUTES if is_marked(route)} == OPEN


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{'+'.join(route.methods)} {route.path}")
def test_a_route_asks_for_a_key_unless_it_is_marked(app, route):
    for method in route.methods:
        response = ask(app, method, address(route))
        assert (response.status_code != 401) == is_marked(route), response.text


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{'+'.join(route.methods)} {route.path}")
def test_a_method_that_a_route_does_not_take_opens_nothing(app, route):
    assert ask(app, "PATCH", address(route)).status_code == (405 if is_marked(route) else 401)


def test_the_application_has_no_route_beside_those_that_keys_are_checked_for(app):
    scopes = [
        {"type": "http", "path": address(route), "root_path": "", "method": min(route.methods)} for route in ROUTES
    ]
    for route in app.routes:
        assert any(route.matches(dict(scope))[0] is Match.FULL for scope in scopes), route
