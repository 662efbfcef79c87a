"""The playground in a real Chromium, against a real service: choosing an image, asking, reading, repeating."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import re
import subprocess

import httpx
import pytest
from PIL import Image

from tests.support.browser import answered
from tests.support.pictures import saved
from tests.support.serving import image_file, wait_until

JPEG = {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": image_file()}
TIMES = "\N{MULTIPLICATION SIGN}"
TRANSFER = """async (url) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([await (await fetch(url)).blob()], "given.jpg", {type: "image/jpeg"}));
    return transfer;
}"""


def test_a_picked_file_is_shown_with_its_tiles_and_captioned(visitor):
    page = visitor.page
    with page.expect_file_chooser() as chooser:
        page.click("label[for=file]")
    chooser.value.set_files(files=[JPEG])
    page.wait_for_selector(f"#stage-caption:has-text('photo.jpg · 96 {TIMES} 64 px · 1 global view + 2 {TIMES} 2')")
    assert not page.locator("#stage-grid").is_visible(), "nothing lies over the picture until somebody asks for it"
    page.check("#show-grid")
    assert page.locator("#stage-grid").is_visible()
    assert page.locator("#stage-grid line.over").count() == 2
    visitor.until(visitor.ask(), "done")


def test_an_answer_tells_what_it_cost_and_the_second_one_is_cached(visitor, server):
    new = {"name": "new.png", "mimeType": "image/png", "buffer": image_file("PNG", (50, 70))}
    visitor.page.set_input_files("#file", files=[new])
    visitor.page.wait_for_selector("#stage-caption:has-text('new.png')")
    first = visitor.ask(max_tokens=9)
    visitor.until(first, "done")
    assert first.locator("h3").inner_text() == "Caption"
    assert first.locator(".reason").inner_text() == "cut at the token limit"
    assert first.locator(".badges li").all_inner_texts()[:2] == ["5 tiles encoded", "9 tokens"]
    assert first.locator(".timings dt").all_inner_texts() == ["Queue", "Preprocess", "Encode", "Prefill", "Decode"]
    assert all(re.fullmatch(r"[\d.]+ m?s", text) for text in first.locator(".timings dd").all_inner_texts())
    first.locator("text=Ask again").click()
    visitor.page.wait_for_selector("text=features cached: 0 tiles encoded")


def test_an_image_can_be_pasted_and_dropped(visitor):
    page = visitor.page
    for event, kind, field in (("paste", "ClipboardEvent", "clipboardData"), ("drop", "DragEvent", "dataTransfer")):
        visitor.sample()
        transfer = page.evaluate_handle(TRANSFER, f"{visitor.url}/playground/samples/cafe.jpg")
        page.evaluate(
            "([transfer, event, kind, field]) => document.body.dispatchEvent("
            "new window[kind](event, {[field]: transfer, bubbles: true, cancelable: true}))",
            [transfer, event, kind, field],
        )
        page.wait_for_selector("#stage-caption:has-text('given.jpg')")


def test_several_questions_get_the_answers_the_service_gives(visitor, server):
    visitor.sample()
    questions = ["What is left?", "Which one?", "What is right?"]
    visitor.page.check("[name=task][value=vqa]")
    visitor.page.check("[name=answer_style][value=choice]")
    visitor.page.fill("[name=choices]", "cat\ndog\n\n")
    card = visitor.ask(*questions, max_tokens=20, seed=7)
    visitor.until(card, "done")
    assert card.locator("h3").all_inner_texts() == questions
    settings = {"max_tokens": 20, "temperature": 1, "seed": 7}
    fields = {"questions": questions, "answer_style": "choice", "choices": ["cat", "dog"]}
    image = httpx.get(f"{server.url}/playground/samples/scene.png").content
    asked = httpx.post(
        f"{server.url}/v1/vqa", data=fields | {"settings": json.dumps(settings)}, files={"image": image}, timeout=60
    )
    told = asked.json()
    assert [each.text_content() for each in card.locator(".text").all()] == told["answers"]
    assert_the_choices_are_shown(card, told["choices_by_question"], told["answers"])
    shares = [
        re.fullmatch(r"confidence (?:< )?([\d.]+) % per token", each)
        for each in card.locator(".confidence").all_inner_texts()
    ]
    expected = [100 * math.exp(confidence) for confidence in told["confidences"]]
    assert [float(share[1]) for share in shares if share] == pytest.approx(expected, abs=0.6)


def assert_the_choices_are_shown(card, choices_by_question, answers):
    """Each choice has its probability in per cent, and the one that was answered is marked, for ears too."""
    shown = [each.inner_text().split() for each in card.locator(".choices li").all()]
    expected = [choice for choices in choices_by_question for choice in choices]
    assert [words[:2] for words in shown] == [[choice["letter"], choice["text"]] for choice in expected]
    assert [float(words[-2]) for words in shown] == pytest.approx(
        [100 * choice["probability"] for choice in expected], abs=0.6
    )
    assert [each.text_content()[0] for each in card.locator(".choices li:has-text('✓ the answer')").all()] == answers


CLEAR = Image.new("RGBA", (60, 40), (255, 0, 0, 0))
TOLD = {
    "image": {"format": "TIFF", "width": 9, "height": 8, "frames": 10_000, "has_transparency": False},
    "warnings": ["image_end_missing", "a_word_of_tomorrow"],
    "confidence": -1e-5,
}


def test_an_answer_tells_how_its_file_was_read(visitor):
    page = visitor.page
    gif = saved(CLEAR, "GIF", save_all=True, append_images=[Image.new("RGBA", CLEAR.size, "blue")])
    for name, data, facts, warnings in (
        ("cut.jpg", image_file()[:-2], f"JPEG, 96 {TIMES} 64", 1),
        ("clear.gif", gif, f"GIF, 60 {TIMES} 40, first of 2 frames, transparency on white", 0),
    ):
        page.set_input_files("#file", files=[{"name": name, "mimeType": "image/png", "buffer": data}])
        page.wait_for_selector(f"#stage-caption:has-text('{name}')")
        card = visitor.ask()
        visitor.until(card, "done")
        assert card.locator(".facts").text_content() == f"Image as read: {facts}"
        assert card.locator(".warning").count() == warnings


def test_a_warning_is_said_in_words_and_an_unknown_one_as_it_is(visitor):
    whole = httpx.post(f"{visitor.url}/v1/caption", files={"image": image_file()}, timeout=60).json() | TOLD
    stream = f'data: {{"chunk": "so"}}\n\ndata: {json.dumps(whole | {"completed": True})}\n\n'
    visitor.page.route("**/v1/caption", answered(200, stream, "text/event-stream"))
    visitor.sample()
    card = visitor.ask()
    visitor.until(card, "done")
    words = ["The end of the file is missing; the picture was read as far as it goes.", "a_word_of_tomorrow"]
    assert card.locator(".warning").all_inner_texts() == [f"Warning. {each}" for each in words]
    assert (visitor.page.locator("#announcer").text_content() or "").endswith(" ".join(words))
    assert "first of 10,000 or more pages" in card.locator(".facts").inner_text()
    assert card.locator(".confidence").inner_text() == "confidence > 99.9 % per token"


WATCH_GROWTH = """() => {
  window.grown = [];
  const note = () => {
    const text = document.querySelector("#answers .text");
    if (text) window.grown.push([text.textContent.length, text.getAttribute("aria-busy")]);
  };
  new MutationObserver(note).observe(document.querySelector("#answers"),
    {childList: true, subtree: true, characterData: true, attributes: true});
}"""


def test_an_answer_grows_while_it_is_written(visitor):
    visitor.sample()
    visitor.page.evaluate(WATCH_GROWTH)
    card = visitor.ask("What?", "Why?", "Who?", max_tokens=100)
    visitor.until(card, "done")
    grown = visitor.page.evaluate("() => window.grown")
    lengths = [length for length, busy in grown if busy == "true"]
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > 3
    assert grown[-1] == [len(card.locator(".text").first.text_content()), "false"]


def test_cancelling_frees_the_slots_and_keeps_the_text(visitor, server):
    visitor.sample()
    for way in ("escape", "button"):
        card = visitor.ask("What?", "Why?", "Who?", "When?", max_tokens=700)
        visitor.until(card, "writing")
        if way == "escape":
            visitor.page.keyboard.press("Escape")
        else:
            card.locator("text=Cancel").click()
        assert visitor.until(card, "cancelled", "done") == "cancelled"
        wait_until(lambda: server.metric("pheye_slots_used") == 0.0 == server.metric("pheye_requests_running"), 5)
        assert card.locator(".text").first.inner_text()
        assert card.locator(".state").inner_text() == "Cancelled"


def test_pointing_at_a_word_shows_where_the_model_looked(visitor):
    page = visitor.page
    visitor.sample()
    page.check("[name=explain]")
    card = visitor.ask("What is left?", "What is right?")
    visitor.until(card, "done")
    page.uncheck("[name=explain]")
    text = card.locator(".text").first
    words = text.locator(".word")
    assert [each.text_content() for each in words.all()] == text.text_content().split()
    assert card.locator(".looked").count() == 2
    assert card.locator(".layers [role=img]").first.get_attribute("aria-label").startswith("Share of the global view:")
    assert "it is not a proof" in card.inner_text()
    assert not page.locator("#stage-heat").is_visible()
    words.first.hover()
    assert page.locator("#stage-heat").is_visible()
    seen = "() => document.getElementById('stage-heat').toDataURL()"
    first = page.evaluate(seen)
    words.first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("() => document.activeElement.textContent") == words.nth(1).text_content()
    assert page.evaluate(seen) != first
    assert card.locator(".shown").first.inner_text() == f"“{words.nth(1).text_content()}”"
    visitor.sample("scene.png")  # another image on the stage: the map no longer belongs there
    words.first.hover()
    assert not page.locator("#stage-heat").is_visible()


def run_shell(code):
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, timeout=60, env=os.environ)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_python(code):
    """What the code prints; run here, because another interpreter would load the clients again."""
    printed, names = io.StringIO(), {}
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "code", "exec"), names)
    for value in names.values():
        if isinstance(value, io.IOBase):  # short code leaves its files to the end of the program
            value.close()
    return printed.getvalue()


def test_the_code_repeats_exactly_this_request(visitor, tmp_path, monkeypatch):
    (tmp_path / "photo.jpg").write_bytes(image_file())
    visitor.page.set_input_files("#file", files=[JPEG])
    visitor.page.wait_for_selector("#stage-caption:has-text('photo.jpg')")
    visitor.set(stop="\\n\n$'\"x")
    card = visitor.ask("What's \"this\"?\tIt costs $5 `now`; 'yes'", max_tokens=10)
    visitor.until(card, "done")
    monkeypatch.chdir(tmp_path)
    for language in ("curl", "Python (httpx)"):
        code = visitor.code(card, language)
        said = run_shell(code) if language == "curl" else run_python(code)
        chunks = re.findall(r'"chunk":\s*("(?:[^"\\]|\\.)*")', said)
        text = "".join(json.loads(chunk) for chunk in chunks) if chunks else said.split("{'completed'")[0]
        assert text == card.locator(".text").text_content()
    visitor.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    card.locator(".code").get_by_role("button", name="Copy").click()
    visitor.page.wait_for_selector("text=Copied")
    assert visitor.page.evaluate("() => navigator.clipboard.readText()") == code


def test_the_code_for_a_sample_needs_no_file(visitor, tmp_path, monkeypatch):
    visitor.sample()
    card = visitor.ask(max_tokens=6)
    visitor.until(card, "done")
    monkeypatch.chdir(tmp_path)
    run_shell(visitor.code(card, "curl"))
    for language in ("Python (httpx)", "OpenAI client"):
        assert card.locator(".text").text_content() in run_python(visitor.code(card, language))
