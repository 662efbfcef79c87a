"""The playground's keys: what they do, and whose they are while an input method, a dialog or the browser uses them."""

from __future__ import annotations

import pytest

HELD = "**/v1/vqa"
PRESS = """([key, init]) => document.activeElement.dispatchEvent(
    new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true, ...init}))"""


def compose(page, text: str) -> None:
    """Begin to write with an input method, as for Japanese; nothing is decided yet."""
    session = page.context.new_cdp_session(page)
    session.send("Input.imeSetComposition", {"text": text, "selectionStart": len(text), "selectionEnd": len(text)})


def asked(visitor):
    """The card of a question that is never answered, and the cursor in the question's field."""
    visitor.page.route(HELD, lambda route: None)
    visitor.sample()
    card = visitor.ask("What?")
    visitor.until(card, "waiting")
    visitor.page.focus("#questions textarea")
    return card


def test_escape_cancels_what_is_under_way(visitor):
    card = asked(visitor)
    visitor.page.keyboard.press("Escape")
    visitor.until(card, "cancelled")


def test_escape_in_an_input_method_cancels_no_request(visitor):
    card = asked(visitor)
    compose(visitor.page, "なに")
    visitor.page.keyboard.press("Escape")
    assert card.get_attribute("data-state") == "waiting"


def test_enter_in_an_input_method_asks_nothing(visitor):
    card = asked(visitor)
    compose(visitor.page, "なに")
    visitor.page.keyboard.press("Enter")
    assert visitor.page.locator("#answers > li").count() == 1
    assert card.get_attribute("data-state") == "waiting"


NOT_FOR_THE_PAGE = {
    "the last one of an input method": ("Escape", {"keyCode": 229}),
    "one held down": ("Escape", {"repeat": True}),
    "a shortcut of the system": ("Escape", {"ctrlKey": True}),
    "the Enter that ends an input method": ("Enter", {"keyCode": 229}),
}


@pytest.mark.parametrize(("key", "init"), NOT_FOR_THE_PAGE.values(), ids=NOT_FOR_THE_PAGE)
def test_a_key_that_is_not_for_the_page_does_nothing(visitor, key, init):
    card = asked(visitor)
    visitor.page.evaluate(PRESS, [key, init])
    assert visitor.page.locator("#answers > li").count() == 1
    assert card.get_attribute("data-state") == "waiting"


def test_escape_held_in_the_key_dialog_closes_only_the_dialog(visitor):
    card = asked(visitor)
    visitor.page.click("#key-button")
    for _ in range(3):
        visitor.page.keyboard.down("Escape")
    visitor.page.keyboard.up("Escape")
    assert visitor.page.locator("#key-dialog[open]").count() == 0
    assert card.get_attribute("data-state") == "waiting"


def test_an_arrow_with_alt_is_left_to_the_browser(visitor):
    page = visitor.page
    page.check("[name=explain]")
    visitor.sample()
    visitor.until(visitor.ask("What is left?"), "done")
    page.uncheck("[name=explain]")
    page.locator("#answers .whole").first.focus()
    assert page.evaluate(PRESS, ["ArrowRight", {"altKey": True}]), "nobody has prevented it"
    assert not page.evaluate(PRESS, ["ArrowRight", {}])
