"""The playground under attack, in a real Chromium: servers that lie, hostile links and storage, two tabs at once."""

from __future__ import annotations

import json

import pytest

from tests.support.browser import answered, visit

HTML = "<img src=x onerror='window.hurt=1'><script>window.hurt=1</script>"
USAGE = {"completion_tokens": 3, "image_tiles": 5, "image_tokens": 9, "image_features_cached": False}
TIMINGS = dict.fromkeys(("queue", "preprocess", "encode", "prefill", "decode", "total"), 0.1)
END = {"completed": True, "finish_reason": "stop", "usage": USAGE, "timings": TIMINGS}
ODD = [None, 7, -1, "x", [], [None], {}, {"file": 3}, True, HTML, 1e300]
SSE = "text/event-stream"
STRANGE = "This is no answer of Pheye"
PREFIX = "pheye-answer:/:"


def events(*data: object) -> str:
    return "".join(f"data: {each if isinstance(each, str) else json.dumps(each)}\n\n" for each in data)


LIES = {
    "html": ("<h1>Welcome</h1>", "text/html", STRANGE),
    "json": ('{"caption": "x"}', "application/json", STRANGE),
    "no-json": (events("{"), SSE, STRANGE),
    "null": (events("null"), SSE, STRANGE),
    "no-text": (events({"chunk": {"a": 1}}), SSE, STRANGE),
    "no-place": (events({"chunk": "x", "index": 9}), SSE, STRANGE),
    "no-problem": (events({"error": 7}), SSE, "The server failed"),
    "empty": ("", SSE, "The connection broke"),
    "endless": (events(*[{"chunk": "x" * 300_000}] * 4), SSE, "The answer does not end"),
}
ENDS = [
    {"completed": True},
    END | {"usage": None, "timings": {"decode": "x"}, "finish_reason": "constructor", "warnings": ["toString"]},
    END | {"image": HTML, "warnings": HTML, "choices": [None, {"text": HTML, "probability": 1e9}], "confidence": "x"},
    END | {"explanation": {"heat_map": [[1], [1, 2]], "words": None}},
    END | {"explanation": {"heat_map": [[1, 2]], "words": [None, {"start": 0, "end": 9}], "layers": [None, 3]}},
]  # fmt: skip


@pytest.fixture(scope="module")
def visitor(browser, server):
    """One page for everything that leaves it as it was."""
    with visit(browser, server.url) as visitor:
        visitor.sample()
        yield visitor
        assert visitor.page.evaluate("() => window.hurt") is None


def said(visitor, body, content_type=SSE):
    """The card of a caption that is answered so."""
    visitor.page.route("**/v1/caption", answered(200, body, content_type))
    visitor.page.click("#submit")
    card = visitor.newest()
    visitor.until(card, "done", "failed")
    visitor.page.unroute("**/v1/caption")
    return card


def test_an_answer_that_is_none_gets_a_clear_sentence(visitor):
    for name, (body, content_type, words) in LIES.items():
        card = said(visitor, body, content_type)
        assert card.locator(".problem .title").inner_text() == words, name


def test_a_caption_is_text_and_an_end_full_of_lies_is_shown_as_far_as_it_goes(visitor):
    for end in ENDS:
        card = said(visitor, events({"chunk": HTML}, end))
        assert card.get_attribute("data-state") == "done", card.inner_text()
        assert card.locator(".text").text_content() == HTML
        assert "function" not in card.inner_text()
    for kind in ("json", "csv"):
        with visitor.page.expect_download():
            visitor.page.click(f"#kept-{kind}")


def test_an_answer_without_a_word_can_be_waited_for_or_cancelled(visitor):
    page = visitor.page
    page.clock.install()
    page.route("**/v1/caption", lambda route: None)
    page.click("#submit")
    card = visitor.newest()
    page.clock.fast_forward(31_000)
    page.wait_for_selector("text=No word for 30 s")
    card.get_by_role("button", name="Cancel").click()
    visitor.until(card, "cancelled")
    page.unroute("**/v1/caption")


@pytest.mark.parametrize("missing", [False, True])
def test_a_server_that_lies_about_itself_leaves_a_page_that_asks(browser, server, missing):
    with visit(browser, server.url) as visitor:
        page = visitor.page
        visitor.expected.append("404")
        fields = ("knows", "questions", "samples", "questions", "body_bytes", "pixels", "formats", "image_urls")
        for odd in [None] if missing else ODD:
            told = {"model": dict.fromkeys(fields, odd) | {"name": HTML}, "limits": dict.fromkeys(fields, odd)}
            whole = answered(404, HTML, "text/html") if missing else answered(200, json.dumps(told))
            page.unroute_all()
            page.route("**/v1", whole)
            page.route("**/metrics", answered(200, f"pheye_slots Infinity\npheye_slots_used {odd}\n", "text/plain"))
            with page.expect_response("**/v1"), page.expect_response("**/metrics"):
                page.evaluate("() => document.getElementById('key-form').requestSubmit()")  # everything is asked again
        visitor.sample()
        visitor.until(visitor.ask("What?", max_tokens=4), "done")
        assert page.evaluate("() => window.hurt") is None


def test_what_answers_in_the_place_of_the_model_is_not_believed(browser, server):
    with visit(browser, server.url) as visitor:
        page = visitor.page
        page.clock.install()
        for readiness, words in (
            (answered(200, HTML, "text/html"), "no Pheye here"),
            (answered(200, '{"model": 7, "image_tiles": 1e300}'), "a model without a name"),
        ):
            page.unroute_all()
            page.route("**/readyz", readiness)
            page.reload()
            page.wait_for_selector(f"#model-name:has-text('{words}')")
            visitor.sample()


def test_a_hostile_link_and_hostile_storage_fill_in_no_more_than_a_form_takes(browser, server):
    hash = (
        f"#task=vqa&answer_style=__proto__&name={HTML}&sample=../../v1&id=img_x&url=javascript:alert(1)&seed=1e9&stop=%"
    )
    hash += "&max_tokens=-1" + f"&question={HTML}" * 500
    whole = {"id": "ok", "at": 1.0, "texts": [HTML], "end": {"usage": 3}}
    request = {"path": "v1/caption", "titles": [HTML], "fields": [], "settings": "{}", "filled": {"questions": []}}
    ok = whole | {"request": request | {"image": {"name": HTML, "thumb": ""}}}
    stored = [
        ok, 7, None, {"id": "a", "texts": []}, ok | {"at": "x"}, ok | {"at": 1e300}, ok | {"texts": [{}]},
        ok | {"request": request | {"image": {"name": HTML, "thumb": "https://example.org/a.png"}}},
        ok | {"request": request | {"titles": []}}, ok | {"request": {"image": True, "titles": [1]}},
    ]  # fmt: skip
    with visit(browser, server.url) as visitor:
        page = visitor.page
        for index, record in enumerate(stored):
            page.evaluate(
                "([name, text]) => localStorage.setItem(name, text)", [f"{PREFIX}{index}", json.dumps(record)]
            )
        page.evaluate("(name) => localStorage.setItem(name, '{')", f"{PREFIX}broken")
        page.goto(f"{server.url}/?q={HTML}{hash}")
        page.wait_for_selector("#link-note:has-text('filled in. Its image is not in the link')")
        assert page.locator("#questions textarea").count() == 64
        assert page.locator("#settings-summary").inner_text() == "something is out of range"
        assert page.locator(".answer .text").all_inner_texts() == [HTML]
        page.click("text=Ask again")
        page.wait_for_selector("#link-note:has-text('drop <img')")
        assert page.evaluate("() => window.hurt") is None


FILL = """() => {
    for (let size = 1 << 22; size; size = size >> 1) {
        try { for (;;) localStorage.setItem(`other${Math.random()}`, "x".repeat(size)); } catch {}
    }
}"""


DROP = """() => Object.keys(localStorage).filter((name) => name.startsWith("pheye-answer"))
    .forEach((name) => localStorage.removeItem(name))"""


def test_two_tabs_keep_their_answers_beside_each_other_and_a_full_storage_is_said(browser, server):
    with visit(browser, server.url) as visitor:
        one, two = visitor.page, visitor.page.context.new_page()
        two.goto(f"{server.url}/")
        two.wait_for_selector("#model[data-state=ready]")
        for page in (one, two):
            page.route("**/v1/caption", answered(200, events({"chunk": "x"}, END), SSE))
            page.click("[data-sample='scene.png']")
            page.wait_for_selector("#stage-caption:has-text('scene.png')")
        for page in (one, two) * 3:
            page.click("#submit", no_wait_after=True)
        for page in (one, two):
            page.wait_for_selector("#kept-note:has-text('6 answers kept in this browser')")
        one.evaluate(FILL)
        one.evaluate(DROP)
        one.evaluate(FILL)
        one.click("#submit")
        one.wait_for_selector("#kept-note:has-text('This browser keeps no answers')")
        assert one.locator(".answer[data-state=done]").count() == 4


@pytest.mark.parametrize("gone", ["app.js", "server/said.js"])
def test_a_page_whose_script_does_not_come_says_so(browser, server, gone):
    page = browser.new_page()
    page.route(f"**/playground/{gone}", answered(404, ""))
    page.goto(f"{server.url}/")
    page.wait_for_selector("#trouble:has-text('This page failed. One of its scripts did not come.')")
    page.close()
