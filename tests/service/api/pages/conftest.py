"""One browser for all tests of the pages, and one service for those that need nothing special of it."""

from __future__ import annotations

import pytest

from tests.support.browser import chromium, visit
from tests.support.hostile_web import answer, hostile_web
from tests.support.serving import image_file, running_server


@pytest.fixture(scope="package")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture(scope="package")
def web():
    """Another server, from which the service may fetch an image."""
    with hostile_web({"/far%20away.png": answer(image_file("PNG", (70, 50)))}) as running:
        yield running


@pytest.fixture(scope="package")
def server(web):
    with running_server(image_hosts=f"127.0.0.1:{web.port}") as running:
        yield running


@pytest.fixture(scope="package")
def keyed():
    """A service that asks for a key, with one slot, room for three more, and short answers."""
    with running_server(slots=1, max_waiting=3, api_keys="right", default_max_tokens=4) as running:
        yield running


@pytest.fixture
def fresh(browser, server):
    """A visitor whose page and storage nobody used before."""
    with visit(browser, server.url) as visitor:
        yield visitor


@pytest.fixture(scope="module")
def shared(browser, server):
    with visit(browser, server.url) as visitor:
        yield visitor


@pytest.fixture
def visitor(shared):
    """A visitor whose page other tests use too, one after the other: loading it costs more than most of them."""
    yield shared
    shared.reset()
