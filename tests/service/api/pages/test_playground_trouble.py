"""The playground in trouble, in a real Chromium: keys, a busy server, refusals, broken streams, no server at all."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.browser import FOCUSED, answered, give_key, problem, visit
from tests.support.serving import Server, image_file, wait_until

STATUSES = {
    400: ("could not be read", 0), 500: ("The log", 1), 502: ("The server answered 502", 1), 503: ("is starting", 1),
    504: ("fewer tokens", 1),
}  # fmt: skip


@pytest.fixture(scope="module")
def server(keyed):
    return keyed


@pytest.fixture
def stranger(browser, server):
    """A visitor who has not given a key yet."""
    with visit(browser, server.url) as visitor:
        visitor.expected.append("401")
        yield visitor


@pytest.fixture(scope="module")
def shared(browser, server):
    """A visitor who has given the right key."""
    with visit(browser, server.url) as visitor:
        visitor.always = ("401",)
        visitor.expected.append("401")
        visitor.page.wait_for_selector("#load-note:has-text('Needs the API key')")
        give_key(visitor.page, "right")
        visitor.page.wait_for_selector("#load-note:empty", state="attached")
        yield visitor


def test_a_wrong_key_is_asked_for_again_and_the_right_one_is_used(stranger):
    page = stranger.page
    page.wait_for_selector("#load-note:has-text('Needs the API key')")
    stranger.sample()
    card = stranger.ask()
    page.wait_for_selector("#key-dialog[open]")
    assert "API key missing or wrong" in card.inner_text()
    give_key(page, "wrong")
    page.wait_for_selector("#key-dialog[open]")
    give_key(page, "right")
    stranger.until(card, "done")
    page.wait_for_selector("#load-note:empty", state="attached")
    assert '-H "Authorization: Bearer $API_KEY"' in stranger.code(card, "curl")
    assert page.evaluate("() => sessionStorage['pheye-key']") == "right"
    page.wait_for_selector("#kept-note:has-text('1 answer kept')")
    assert "right" not in page.evaluate("() => JSON.stringify(localStorage)")
    assert "right" not in page.url


def test_closing_the_key_dialog_asks_nothing(stranger):
    stranger.sample()
    card = stranger.ask()
    stranger.page.wait_for_selector("#key-dialog[open]")
    give_key(stranger.page, "ключ")
    stranger.page.wait_for_selector("#key-wrong:has-text('cannot be sent')")
    stranger.page.keyboard.press("Escape")
    stranger.page.wait_for_selector("#key-dialog", state="hidden")
    assert card.get_attribute("data-state") == "failed"
    card.locator("text=Enter a key").click()
    assert stranger.page.locator("#key-dialog[open]").count() == 1


@contextmanager
def stopped_worker(server: Server) -> Iterator[None]:
    """Keep the worker from answering within the block."""
    worker = int(re.findall(r"worker \d+ on \S+ \(process (\d+)\)", server.log)[-1])
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


def test_a_busy_server_says_when_to_try_again(visitor, server):
    page = visitor.page
    visitor.expected.append("429")
    visitor.sample()
    running = visitor.ask("Who?", max_tokens=700)
    visitor.until(running, "writing")
    with stopped_worker(server):  # however fast it answers, the queue stays full
        visitor.ask("What?", "Which?", "Why?")
        wait_until(lambda: server.metric("pheye_requests_waiting", authorization="Bearer right") == 3.0)
        page.clock.install()
        visitor.page.click("#questions li:nth-child(3) .remove")
        visitor.page.click("#questions li:nth-child(2) .remove")
        refused = visitor.ask("When?")
        visitor.until(refused, "failed")
    assert "Too many requests are waiting" in refused.inner_text()
    retry = refused.locator(".retry")
    assert retry.is_disabled()
    assert "Retry in" in retry.inner_text()
    page.keyboard.press("Escape")
    page.clock.fast_forward(60_000)
    retry.locator(":scope:enabled").wait_for()
    retry.click()
    visitor.until(refused, "done")


def test_a_refused_file_is_explained_in_the_servers_words(visitor):
    for data, status, words, title in (
        (b"hello", "415", "image: not of a format that is read here; send JPEG, PNG", "Unsupported image format"),
        (image_file()[:900], "422", "image: broken or cut short", "Invalid field"),
    ):
        visitor.expected.append(status)
        file = {"name": f"given{status}", "mimeType": "image/jpeg", "buffer": data}
        visitor.page.set_input_files("#file", files=[file])
        visitor.page.wait_for_selector(f"#stage-caption:has-text('given{status}')")
        card = visitor.ask()
        visitor.until(card, "failed")
        first, *rest = card.locator(".problem p").all_inner_texts()
        assert first.split(maxsplit=1)[0] == status
        assert first.split(maxsplit=1)[1].startswith(words)
        assert rest == [title]


def test_a_refusal_without_words_gets_the_pages_advice(visitor):
    visitor.expected.append("413")
    visitor.sample()
    visitor.page.route("**/v1/caption", answered(413, "<h1>Too large</h1>", "text/html"))
    card = visitor.ask()
    visitor.until(card, "failed")
    assert card.locator(".advice").inner_text() == "Choose a smaller image."


def test_what_is_missing_is_said_before_anything_is_sent(stranger):
    page = stranger.page
    page.click("#submit")
    assert "Choose an image first" in page.locator("#ask-wrong").inner_text()
    assert page.evaluate(FOCUSED)[0] == "file"
    stranger.sample()
    page.check("[name=task][value=vqa]")
    page.click("#submit")
    assert page.locator("#ask-wrong").inner_text() == "Write a question."
    stranger.set(temperature=9)
    page.fill("#questions textarea", "x")
    page.click("#submit")
    assert "Temperature: " in page.locator("#ask-wrong").inner_text()
    assert page.locator("#answers > li").count() == 0


def test_every_status_has_its_words(visitor):
    visitor.sample()
    for status, (words, retries) in STATUSES.items():
        visitor.expected.append(str(status))
        said = "<h1>Bad gateway</h1>" if status == 502 else problem("A title", status)
        visitor.page.route("**/v1/caption", answered(status, said))
        card = visitor.ask()
        visitor.until(card, "failed")
        assert words in card.inner_text()
        assert ("because" in card.inner_text()) == (status != 502)
        assert card.locator(".retry").count() == retries


def test_a_failure_in_the_middle_keeps_what_came(visitor):
    visitor.sample()
    for end, words in (
        (f'data: {{"error": {problem("Poisoned")}, "completed": true}}\n\n', "Poisoned"),
        ("", "broke"),
    ):
        body = ': keep-alive\n\ndata: {"chunk": "so far"}\n\n' + end
        visitor.page.route("**/v1/caption", answered(200, body, "text/event-stream"))
        card = visitor.ask()
        visitor.until(card, "failed")
        assert card.locator(".text").inner_text() == "so far"
        assert words in card.locator(".problem").inner_text()


def test_a_server_that_is_away_is_noticed_and_found_again(visitor):
    page = visitor.page
    visitor.expected.append("ERR_INTERNET_DISCONNECTED")
    visitor.sample()
    page.clock.install()
    page.context.set_offline(True)
    card = visitor.ask()
    visitor.until(card, "failed")
    assert "The server cannot be reached" in card.inner_text()
    page.wait_for_selector("#model[data-state=away]")
    page.wait_for_selector("#load-note:has-text('Unreachable')")
    page.context.set_offline(False)
    page.clock.fast_forward(5000)
    page.wait_for_selector("#model[data-state=ready]")
    page.wait_for_selector("#load-note:empty", state="attached")
