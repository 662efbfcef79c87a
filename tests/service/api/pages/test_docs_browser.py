"""`/docs` in a real Chromium, against a service that asks for a key: what a visitor can send from the page."""

from __future__ import annotations

import pytest

from tests.support.browser import is_own, violations
from tests.support.serving import image_file, running_server

JPEG = {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": image_file()}
ROUTES = ("/v1/caption", "/v1/vqa", "/v1/images", "/v1/estimate", "/v1/chat/completions")


@pytest.fixture(scope="module")
def page(browser):
    """The page as it came without a key, and at the end nothing it complained about."""
    troubles = []
    with running_server(api_keys="secret", default_max_tokens=4) as server:
        page = browser.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda sent: None if is_own(sent.url, server.url) else troubles.append(sent.url))
        page.goto(f"{server.url}/docs")
        page.click("button.authorize")
        page.fill("#auth-bearer-value", "secret")
        page.click(".auth-container:has(#auth-bearer-value) button.authorize")
        page.click("button.btn-done")
        yield page
    assert troubles == []


def route(page, path):
    """The open description of a route that is asked with POST."""
    block = page.locator(f".opblock-post:has([data-path='{path}'])")
    if not block.locator("button.execute").count():
        block.locator(".opblock-summary-control").click()
    return block


def execute(page, block):
    with page.expect_response(lambda response: response.request.method == "POST") as answered:
        block.locator("button.execute").click()
    return answered.value


@pytest.mark.parametrize("path", ROUTES)
def test_the_first_example_is_answered_at_the_push_of_a_button(page, path):
    assert execute(page, route(page, path)).ok


@pytest.mark.parametrize("kind", ["multipart/form-data", "image/*"])
@pytest.mark.parametrize("path", [path for path in ROUTES if path not in ("/v1/vqa", "/v1/chat/completions")])
def test_a_chosen_file_is_answered_with_nothing_else_filled_in(page, path, kind):
    block = route(page, path)
    block.locator(".opblock-section-request-body select.content-type").select_option(kind)
    block.locator("input[type=file]").set_input_files(files=[JPEG])
    assert execute(page, block).ok


def test_a_question_goes_with_a_file_in_the_query_and_in_a_form(page):
    block = route(page, "/v1/vqa")
    kinds = block.locator(".opblock-section-request-body select.content-type")
    kinds.select_option("multipart/form-data")
    block.locator("input[type=file]").set_input_files(files=[JPEG])
    assert execute(page, block).json()["usage"]["completion_tokens"] > 4, "the form has settings of its own"
    kinds.select_option("image/*")
    block.locator("input[type=file]").set_input_files(files=[JPEG])
    block.locator("[data-param-name=question] input").fill("What?")
    assert execute(page, block).json()["usage"]["completion_tokens"] == 4


def test_what_is_open_is_clean_by_axe(browser, page):
    fresh = browser.new_page()
    fresh.goto(page.url.partition("#")[0])
    route(fresh, "/v1/caption")
    health = fresh.locator(".opblock-get:has([data-path='/livez'])")
    health.locator(".opblock-summary-control").click()
    health.locator("button.execute").click()
    fresh.wait_for_selector(".live-responses-table pre")
    assert violations(fresh) == []
    fresh.set_viewport_size({"width": 390, "height": 800})
    assert violations(fresh, "target-size") == []
    fresh.close()
