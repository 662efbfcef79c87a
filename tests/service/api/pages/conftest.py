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


@pytest.fixture
def visitor(browser, server):
    with visit(browser, server.url) as visitor:
        yield visitor
