"""The playground for everybody, in a real Chromium: by keyboard alone, on a phone, in the dark, left alone in a tab."""

from __future__ import annotations

import json

from tests.support.browser import FOCUSED, answered, problem, visit

UNNAMED = """() => [...document.querySelectorAll("button, input, textarea, a, summary")].filter((each) =>
    !each.textContent.trim() && !each.getAttribute("aria-label") && !each.labels?.length && !each.querySelector("[alt]")
).map((each) => each.outerHTML)"""
HIDE = """(hidden) => {
    Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_the_load_is_drawn_and_nobody_polls_for_a_hidden_tab(fresh):
    page = fresh.page
    asked = []
    page.on("request", lambda sent: asked.append(sent.url) if sent.url.endswith("/metrics") else None)
    page.wait_for_selector("#load dd:has-text('0 / 8')")
    assert page.locator("#load dt").all_inner_texts() == ["Waiting", "Running", "Slots used", "Cache hits", "Tokens/s"]
    with page.expect_request("**/metrics"):
        pass
    assert page.locator("#load .line").first.get_attribute("d").startswith("M")
    page.clock.install()
    page.clock.fast_forward(3000)
    page.evaluate(HIDE, True)
    before = len(asked)
    page.clock.fast_forward(5000)
    assert len(asked) == before
    with page.expect_request("**/metrics"):
        page.evaluate(HIDE, False)
    page.click("#load-panel summary")  # folded, as it is at first on a phone
    page.clock.fast_forward(5000)
    before = len(asked)
    page.clock.fast_forward(5000)
    assert len(asked) == before


def test_the_dark_is_the_systems_until_somebody_chooses(browser, server):
    ground = "() => getComputedStyle(document.body).backgroundColor"
    with visit(browser, server.url, color_scheme="dark") as visitor:
        page = visitor.page
        dark = page.evaluate(ground)
        assert page.locator("#theme-button").get_attribute("aria-pressed") == "true"
        page.click("#theme-button")
        light = page.evaluate(ground)
        assert sum(json.loads(f"[{dark[4:-1]}]")) < 120 < 600 < sum(json.loads(f"[{light[4:-1]}]"))
        page.reload()
        assert page.evaluate(ground) == light
        page.emulate_media(color_scheme="light")
        page.click("#theme-button")
        assert page.evaluate(ground) == dark


def tab_to(page, *, id="", text="", sample=""):
    for _ in range(40):
        page.keyboard.press("Tab")
        at = page.evaluate(FOCUSED)
        assert page.evaluate("() => document.activeElement.matches(':focus-visible')")
        if (id and at[0] == id) or (text and at[1] == text) or (sample and at[2] == sample):
            return
    raise AssertionError(f"no way to {id}{text}{sample} by keyboard")


def test_the_whole_way_can_be_gone_by_keyboard(visitor):
    page = visitor.page
    page.reload()
    page.wait_for_selector("#model[data-state=ready]")
    tab_to(page, sample="scene.png")
    page.keyboard.press("Enter")
    page.wait_for_selector("#stage-caption:has-text('scene.png')")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")  # from caption to questions
    page.keyboard.press("Tab")
    page.keyboard.type("What is red?")
    tab_to(page, text="Settings")
    page.keyboard.press("Enter")
    for value in ("700", "1"):
        page.keyboard.press("Tab")
        page.keyboard.type(value)
    tab_to(page, id="submit")
    page.keyboard.press("Enter")
    card = visitor.newest()
    visitor.until(card, "writing", "done")
    page.keyboard.press("Escape")
    visitor.until(card, "cancelled", "done")
    tab_to(page, text="Ask again")
    page.keyboard.press("Enter")
    visitor.until(card, "writing")
    page.keyboard.press("Escape")
    tab_to(page, text="Code")
    page.keyboard.press("Enter")
    assert card.locator("pre").is_visible()
    assert page.evaluate(UNNAMED) == []


def test_a_phone_never_scrolls_sideways(browser, server):
    with visit(browser, server.url, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True) as visitor:
        page = visitor.page
        visitor.expected.append("413")
        visitor.sample()
        page.check("[name=explain]")
        page.check("[name=task][value=vqa]")
        page.check("[name=answer_style][value=choice]")
        page.fill("[name=choices]", f"{'y' * 200}\ndog")
        card = visitor.ask("x" * 200, max_tokens=20)
        visitor.until(card, "done")
        assert card.locator(".choices li").count() == 2
        card.locator(".word").nth(1).tap()
        assert page.locator("#stage-heat").is_visible()
        card.locator(".costs summary").click()
        card.locator(".code summary").click()
        page.click("#add-question")
        page.route("**/v1/vqa", answered(413, problem("t" * 200)))
        visitor.until(visitor.ask("x"), "failed")
        page.click("#key-button")
        assert page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]") == [360, 360]
