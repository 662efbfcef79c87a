"""`/docs` in a real Chromium, against a service that asks for a key: what a visitor can send from the page."""

from __future__ import annotations

import pytest

from tests.support.browser import is_own, violations
from tests.support.serving import image_file

JPEG = {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": image_file()}
ROUTES = ("/v1/caption", "/v1/vqa", "/v1/images", "/v1/estimate", "/v1/chat/completions")
FILE_ROUTES = ("/v1/caption", "/v1/images", "/v1/estimate")
EXAMPLES = ".responses-table:not(.live-responses-table) pre span"  # many, and coloured like those of a live response
KINDS = ("multipart/form-data", "image/*")


@pytest.fixture(scope="module")
def page(browser, keyed):
    """The page as it came without a key, and at the end nothing it complained about."""
    troubles = []
    page = browser.new_page()
    page.set_default_timeout(20_000)
    page.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda sent: None if is_own(sent.url, keyed.url) else troubles.append(sent.url))
    page.goto(f"{keyed.url}/docs?url=https://example.org/other.json")  # the page shows this server's document only
    page.click("button.authorize")
    page.fill("#auth-bearer-value", "right")
    page.click(".auth-container:has(#auth-bearer-value) button.authorize")
    page.click("button.btn-done")
    yield page
    page.close()
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


def test_what_is_open_is_clean_by_axe_in_the_light_and_in_the_dark(page):
    route(page, "/v1/caption")
    health = page.locator(".opblock-get:has([data-path='/livez'])")
    health.locator(".opblock-summary-control").click()
    health.locator("button.execute").click()
    page.wait_for_selector(".live-responses-table pre")
    assert violations(page, without=EXAMPLES) == []
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_selector("html.dark-mode")
    assert violations(page, "color-contrast", "target-size", without=EXAMPLES) == []
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 800})
    health.locator(".opblock-summary-control").click()


@pytest.mark.parametrize("path", ROUTES)
def test_the_first_example_and_a_chosen_file_are_answered_at_the_push_of_a_button(page, path):
    block = route(page, path)
    assert execute(page, block).ok
    for kind in KINDS if path in FILE_ROUTES else ():  # with nothing else filled in
        block.locator(".opblock-section-request-body select.content-type").select_option(kind)
        block.locator("input[type=file]").set_input_files(files=[JPEG])
        assert execute(page, block).ok
    block.locator(".opblock-summary-control").click()  # what is open is drawn anew at each step


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
