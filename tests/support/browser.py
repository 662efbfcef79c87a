"""A real Chromium on the playground, and everything it complains about while a test looks at it."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, Route

ARGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
PATIENCE_MS = 20_000
FOCUSED = "() => { const at = document.activeElement; return [at.id, at.textContent.trim(), at.dataset.sample ?? '']; }"

RESET = """() => {
    location.hash = "";
    location.hash = "task=caption";  // fills in the form anew
    document.querySelectorAll("#answers > li").forEach((card) => card.remove());
    localStorage.clear();
    document.getElementById("announcer").textContent = "";
    document.activeElement.blur();
}"""


def skip(message: str) -> None:
    """Without a browser these tests are skipped, but on CI they fail."""
    pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The installed Chromium, without a window."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        skip("playwright is not installed; it is among the dev dependencies")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        skip("chromium is not installed; on Debian it is in the package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """One visitor's page, and what went wrong on it.

    Attributes:
        page: the page, on which the model is ready.
        url: the server's address.
        troubles: console errors and warnings (violations of the policy are among them), exceptions, foreign requests.
        expected: statuses and net errors that this test provokes, which the browser writes to the console too.
        always: those of every test that shares this page.
    """

    page: Page
    url: str
    troubles: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    always: tuple[str, ...] = ()

    def unexpected(self) -> list[str]:
        known = [f"Failed to load resource: .*{words}" for words in self.expected]
        return [trouble for trouble in self.troubles if not any(re.search(each, trouble) for each in known)]

    def sample(self, name: str = "scene.png") -> None:
        self.page.click(f'[data-sample="{name}"]')
        self.page.wait_for_selector(f"#stage-caption:has-text('{name}')")

    def ask(self, *questions: str, max_tokens: int = 12, seed: int = 1) -> Locator:
        """Press the button, for a caption or for answers; gives the answer's card."""
        form = self.page.locator("#ask")
        self.set(max_tokens=max_tokens, temperature=1, seed=seed)  # greedy, the random model says next to nothing
        if questions:
            form.locator("[name=task][value=vqa]").check()
        for index, question in enumerate(questions):
            if index >= form.locator("#questions textarea").count():
                self.page.click("#add-question")
            form.locator("#questions textarea").nth(index).fill(question)
        form.locator("#submit").click()
        return self.newest()

    def reset(self) -> None:
        """The page as it came, for the next test, without loading it again; what went wrong is this test's fault."""
        self.page.unroute_all()
        self.page.keyboard.press("Escape")
        self.page.evaluate(RESET)
        troubles = self.unexpected()
        self.troubles.clear()
        self.expected[:] = self.always
        assert troubles == []

    def set(self, **settings: Any) -> None:
        if not self.page.locator("#settings[open]").count():
            self.page.click("#settings summary")
        for name, value in settings.items():
            self.page.fill(f"#settings [name={name}]", str(value))

    def newest(self) -> Locator:
        """The card of the latest request."""
        return self.page.locator(f"#answers > li:nth-last-child({self.page.locator('#answers > li').count()})")

    def code(self, card: Locator, language: str) -> str:
        """The card's code in one of the three languages."""
        if not card.locator("details.code[open]").count():
            card.locator(".code summary").click()
        card.get_by_label(language).check()
        card.locator("pre code:not(:empty)").wait_for()
        return card.locator("pre").text_content() or ""

    def until(self, card: Locator, *states: str) -> str:
        """Wait until the card is in one of these states, and say in which; any other end is an error."""
        handle, ends = card.element_handle(), ("done", "failed", "cancelled")
        self.page.wait_for_function(
            "([card, states]) => states.includes(card.dataset.state)", arg=[handle, [*states, *ends]]
        )
        state = card.get_attribute("data-state") or ""
        assert state in states or (state == "done" and "writing" in states), card.inner_text()
        return state


@contextmanager
def visit(browser: Browser, url: str, **context: Any) -> Iterator[Visit]:
    """A fresh visitor; at the end, nothing but what was expected may have gone wrong."""
    with browser.new_context(**{"viewport": {"width": 1280, "height": 800}} | context) as fresh:
        fresh.set_default_timeout(PATIENCE_MS)
        page = fresh.new_page()
        visitor = Visit(page, url)
        noisy = ("error", "warning")
        page.on("console", lambda said: visitor.troubles.append(said.text) if said.type in noisy else None)
        page.on("pageerror", lambda error: visitor.troubles.append(str(error)))
        page.on("request", lambda sent: visitor.troubles.append(sent.url) if not is_own(sent.url, url) else None)
        page.goto(f"{url}/")
        page.wait_for_selector("#model[data-state=ready]")
        yield visitor
        assert visitor.unexpected() == []


def violations(page: Page, *rules: str, without: str = "") -> list[str]:
    """What axe finds wrong on the page as it is now, by these rules or by all; small targets are among them."""
    page.evaluate(axe())
    asked = {"runOnly": list(rules)} if rules else {"rules": {"target-size": {"enabled": True}}}
    asked |= {"resultTypes": ["violations"], "preload": False}  # what is right needs no report
    place = {"include": ["html"], "exclude": [without] if without else []}
    found = page.evaluate("([place, asked]) => axe.run(place, asked)", [place, asked])["violations"]
    return [f"{rule['id']}: {node['target']} {node['html'][:160]}" for rule in found for node in rule["nodes"]]


@cache
def axe() -> str:
    """The program of axe-core, which its Python package brings along."""
    return (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


def give_key(page: Page, key: str) -> None:
    if not page.locator("#key-dialog[open]").count():
        page.click("#key-button")
    page.fill("#key-field", key)
    page.keyboard.press("Enter")


def problem(title: str, status: int = 500) -> str:
    return json.dumps({"type": "/errors/x", "title": title, "status": status, "detail": "because", "instance": "/x"})


def answered(status: int, body: str, content_type: str = "application/problem+json") -> Callable[[Route], None]:
    """An answer in the server's place."""
    return lambda route: route.fulfill(status=status, content_type=content_type, body=body)


def is_own(asked: str, url: str) -> bool:
    origin = "/".join(url.split("/")[:3])  # of a page under a path prefix too
    return asked.startswith((f"{url}/", f"blob:{origin}/", "data:"))
