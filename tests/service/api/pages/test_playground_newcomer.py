"""The playground for newcomers, in a real Chromium: an example, several images, lists, links, answers that stay."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from service.api.routes import page_files
from tests.support.browser import violations, visit
from tests.support.serving import image_file

SAMPLES = page_files.FOLDER / "playground" / "samples"
KNOWS = {
    "name": "m",
    "knows": "Drawn scenes with a sign",
    "questions": ["Where is the sign?"],
    "samples": [
        {"title": "A scene", "file": "scene.png", "questions": ["What does the sign say?", "How many are red?"]},
        {"title": "Not here", "file": "elsewhere.png", "questions": []},
    ],
}
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + b"\0" * 600
PASTE = """(text) => {
    const transfer = new DataTransfer();
    transfer.setData("text/plain", text);
    const event = new ClipboardEvent("paste", {clipboardData: transfer, bubbles: true, cancelable: true});
    document.querySelector("#questions textarea").dispatchEvent(event);
}"""
CLIPBOARD = "() => navigator.clipboard.readText()"


def tell(page, *, warning: str = "", **limits: object) -> None:
    """Let the server say more of its model, of its limits, and at the end of each answer."""

    def card(route):
        told = route.fetch().json()
        route.fulfill(json=told | {"model": KNOWS, "limits": told["limits"] | limits})

    def answer(route):
        response = route.fetch()
        route.fulfill(response=response, body=response.text().replace('"warnings":[]', f'"warnings":["{warning}"]'))

    page.route("**/v1", card)
    if warning:
        page.route("**/v1/vqa", answer)


def reload(page) -> None:
    page.reload()
    page.wait_for_selector("#knows:visible")


def given(page, *files: tuple[str, bytes]) -> None:
    page.set_input_files("#file", files=[{"name": name, "mimeType": "", "buffer": data} for name, data in files])
    page.wait_for_selector(f"#stage-caption:has-text('{files[0][0].split('.')[0]}')")


@pytest.mark.parametrize("width", [1280, 390])
def test_an_example_is_one_press_away_and_what_is_outside_is_said_in_one_note(browser, server, width):
    phone = {"has_touch": True, "is_mobile": True} if width == 390 else {}
    size = {"width": width, "height": 844}
    look = {"viewport": size, "color_scheme": "light", "reduced_motion": "reduce"}
    with visit(browser, server.url, **look, **phone) as visitor:
        page = visitor.page
        tell(page, warning="outside_known_world")
        reload(page)
        assert (
            page.locator("#knows")
            .inner_text()
            .startswith("pheye-micro-random-weights knows: Drawn scenes with a sign.")
        )
        assert page.locator("#samples button:visible").count() == 1, "those that the model names and the page has"
        assert not page.locator("#suggestions").is_visible(), "a caption has no question"
        title, pill = page.locator(".top h1").bounding_box(), page.locator("#model").bounding_box()
        assert pill["y"] < title["y"] + title["height"], "in one line"
        assert page.locator("#load").is_visible() != bool(phone)
        page.locator("#knows-example").focus()
        page.keyboard.press("Enter")  # everything here by keyboard alone
        card = page.locator("#answers > li").first
        visitor.until(card, "done")
        assert card.locator("h3").inner_text() == "What does the sign say?"
        assert card.locator(".timings").is_visible() != bool(phone)
        note = card.locator(".outside")
        assert note.count() == 1
        assert note.locator("code").inner_text() == "pheye serve --model miguelcarv/Pheye-x4-448"
        assert "outside what the model knows" in (page.locator("#announcer").text_content() or "")
        page.locator(".chip").nth(1).focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")  # the cursor is in the question
        visitor.until(page.locator("#answers > li:has(h3:has-text('How many are red?'))"), "done")
        assert page.locator(".camera").is_visible() == bool(phone)
        assert violations(page) == []
        page.emulate_media(color_scheme="dark")
        assert violations(page, "color-contrast") == []
        assert page.evaluate("() => document.documentElement.scrollWidth") == width


def test_several_images_have_an_answer_each_which_stay_and_can_be_taken_along(fresh):
    page = fresh.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tell(page, questions=3)
    reload(page)
    given(page, ("one.png", (SAMPLES / "scene.png").read_bytes()), ("two.jpg", image_file()), ("three.heic", HEIC))
    page.wait_for_selector("#tray li:nth-child(3)")
    page.check("[name=task][value=vqa]")
    page.evaluate(PASTE, "1. What is left?\n- What is right?\n\n3) Why?\nToo many")
    assert [each.input_value() for each in page.locator("#questions textarea").all()] == [
        "What is left?", "What is right?", "Why?",
    ]  # fmt: skip
    assert "answers 3 at once; 1 more was left out" in page.locator("#questions-note").inner_text()
    assert page.locator("#add-question").is_disabled()
    page.click("#questions-note button")
    assert page.locator("#questions textarea").count() == 1
    fresh.set(max_tokens=5, temperature=1, seed=2)
    assert page.locator("#submit").inner_text() == "Ask about 2 images"
    page.fill("#questions textarea", "=What?")
    page.click("#submit")
    for image in ("one.png", "two.jpg"):
        fresh.until(page.locator(f".answer:has([alt='{image}'])"), "done")
    page.locator("#tray .drop").last.click()
    page.locator("#tray .pick").last.click()
    page.wait_for_selector("#stage-caption:has-text('two.jpg')")
    assert violations(page) == []
    texts = [each.text_content() for each in page.locator(".answer .text").all()]
    page.get_by_role("button", name="Copy", exact=True).first.click()
    page.wait_for_selector("text=Copied")
    assert page.evaluate(CLIPBOARD) == texts[0]

    reload(page)
    page.wait_for_selector("#kept-note:has-text('2 answers kept in this browser')")
    assert sorted(each.text_content() or "" for each in page.locator(".answer .text").all()) == sorted(texts)
    rows = list(csv.DictReader(io.StringIO(downloaded(page, "csv").removeprefix("\ufeff"))))
    assert {(row["image"], row["question"]) for row in rows} == {("one.png", "'=What?"), ("two.jpg", "'=What?")}
    told = json.loads(downloaded(page, "json"))
    assert {answer["answer"] for each in told for answer in each["answers"]} == set(texts)
    page.get_by_role("button", name="Ask again").first.click()
    assert "Its image is no longer here: drop" in page.locator("#link-note").inner_text()
    page.click("#kept-clear")
    page.click("#kept-clear")
    reload(page)
    assert page.locator(".answer").count() == 0


def downloaded(page, kind: str) -> str:
    with page.expect_download() as download:
        page.click(f"#kept-{kind}")
    return Path(download.value.path()).read_bytes().decode()


def test_a_link_asks_again_and_says_when_the_image_is_missing(fresh, web):
    page = fresh.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    fresh.expected.append("404")
    given(page, ("mine.png", image_file("PNG")))
    card = fresh.ask("What & why?", max_tokens=6, seed=3)
    fresh.until(card, "done")
    text = card.locator(".text").text_content()
    link = copied_link(page, card)
    assert re.search(r"#name=mine\.png&id=img_[0-9a-f]+&task=vqa&.*seed=3.*question=What\+%26\+why%3F$", link)

    page.goto("about:blank")
    page.goto(link)
    page.wait_for_selector("#link-note:has-text('ready to ask')")
    assert "mine.png · 96" in page.locator("#stage-caption").inner_text()
    page.click("#submit")
    page.wait_for_selector(".answer:nth-child(2)")
    fresh.until(page.locator(".answer").first, "done")
    assert page.locator(".answer .text").first.text_content() == text

    page.evaluate("(to) => { location.hash = to; }", link.partition("#")[2].replace("id=img_", "id=img_00"))
    page.wait_for_selector("#link-note:has-text('drop mine.png here again')")
    page.evaluate("() => { location.hash = 'sample=cafe.jpg&task=caption&kind=short'; }")
    page.wait_for_selector("#stage-caption:has-text('cafe.jpg')")
    assert page.locator("#submit").inner_text() == "Caption"

    page.fill("#address", web.url("/far%20away.png"))
    page.press("#address", "Enter")
    page.wait_for_selector("#stage-caption:has-text('far away.png · the server fetches it')")
    page.click("#submit")
    page.wait_for_selector(".answer:nth-child(3)")
    fresh.until(page.locator(".answer").first, "done")
    assert "70" in page.locator(".facts").first.inner_text()
    assert "url=http" in copied_link(page, page.locator(".answer").first)


def copied_link(page, card) -> str:
    card.get_by_role("button", name="Link").click()
    card.get_by_role("button", name="Copied").wait_for()
    link: str = page.evaluate(CLIPBOARD)
    return link


def test_what_the_server_would_refuse_is_made_smaller_or_said_at_once(fresh):
    page = fresh.page
    tell(page, pixels=2000, formats=["JPEG", "PNG"])
    reload(page)
    given(page, ("large.png", image_file("PNG")))
    assert "shrunk here to 54" in page.locator(".changed").inner_text()
    fresh.until(fresh.ask(max_tokens=4), "done")
    assert "JPEG, 54" in page.locator(".facts").inner_text()
    given(page, ("other.webp", image_file("WEBP", (40, 40))))
    assert "sent as JPEG: this server does not read WEBP" in page.locator(".changed").inner_text()
    for name, data, words in (
        ("phone.heic", HEIC, "does not read HEIC"),
        ("paper.pdf", b"%PDF-1.7", "A PDF is no image"),
    ):
        given(page, (name, data))
        assert words in page.locator("#stage-caption .refused").inner_text()
    page.click("#submit")
    assert "A PDF is no image" in page.locator("#ask-wrong").inner_text()
    assert page.locator(".answer").count() == 1


def test_a_browser_that_keeps_nothing_answers_all_the_same(fresh):
    page = fresh.page
    page.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no'); }});")
    page.reload()
    page.wait_for_selector("#model[data-state=ready]")
    fresh.sample()
    fresh.until(fresh.ask(max_tokens=4), "done")
    assert page.locator("#kept-note").inner_text() == "This browser keeps no answers"
