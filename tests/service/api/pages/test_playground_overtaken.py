"""The playground where things come in another order than they were asked for, or are gone before they are used."""

from __future__ import annotations

from tests.support.browser import answered, problem
from tests.support.serving import image_file

GATE = """(open) => {  // lets so many files be read, the others when it is opened
    const read = Blob.prototype.arrayBuffer;
    const gate = new Promise((resolve) => (window.openGate = resolve));
    Blob.prototype.arrayBuffer = async function () {
        if ((open -= 1) < 0) await gate;
        return read.call(this);
    };
}"""
SHOWN = "#stage-caption:has-text('{}')"


def png(name: str, side: int = 40) -> dict:
    return {"name": name, "mimeType": "image/png", "buffer": image_file("PNG", (side, side))}


def hold(page, pattern: str) -> list:
    """Hold the requests for an address, until the test lets them go."""
    waiting = []
    page.route(pattern, lambda route: waiting.append(route))  # playwright writes a mark on what it is given
    return waiting


def settle(page) -> None:
    """Wait until what is on its way to the page has come."""
    page.wait_for_timeout(500)


def drag(page, x: float, y: float, **data) -> None:
    session = page.context.new_cdp_session(page)
    carried = {"items": [], "dragOperationsMask": 1, **data}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": x, "y": y, "data": carried})


def test_a_slow_sample_does_not_take_the_place_of_a_later_image(visitor):
    page = visitor.page
    waiting = hold(page, "**/samples/scene.png")
    with page.expect_request("**/samples/scene.png"):
        page.locator('[data-sample="scene.png"]').click()
    page.set_input_files("#file", [png("mine.png")])
    page.wait_for_selector(SHOWN.format("mine.png"))
    waiting[0].continue_()
    settle(page)
    assert "mine.png" in page.inner_text("#stage-caption")


def test_a_slow_image_of_a_link_does_not_take_the_place_of_a_later_image(visitor):
    page = visitor.page
    waiting = hold(page, "**/v1/images/*")
    with page.expect_request("**/v1/images/*"):
        page.evaluate("() => (location.hash = 'task=caption&kind=short&id=img_0123&name=linked.png')")
    page.set_input_files("#file", [png("mine.png")])
    page.wait_for_selector(SHOWN.format("mine.png"))
    waiting[0].fulfill(json={"id": "img_0123", "width_px": 9, "height_px": 9})
    settle(page)
    assert "mine.png" in page.inner_text("#stage-caption")
    assert not page.is_visible("#link-note")


def test_a_sample_that_comes_again_is_asked_about_once_and_as_itself(fresh):
    page = fresh.page
    fresh.sample()
    fresh.until(fresh.ask(), "done")
    page.reload()
    waiting = hold(page, "**/samples/scene.png")
    asked = []
    page.on("request", lambda sent: asked.append(sent.url) if sent.url.endswith("/v1/caption") else None)
    card = fresh.newest()
    with page.expect_request("**/samples/scene.png"):
        card.get_by_text("Ask again").dblclick()
    page.set_input_files("#file", [png("mine.png")])
    page.wait_for_selector(SHOWN.format("mine.png"))
    for route in waiting:
        route.continue_()
    fresh.until(card, "done")
    settle(page)
    assert len(asked) == 1
    assert "scene.png" in fresh.code(card, "curl")
    assert "mine.png" in page.inner_text("#stage-caption")


def test_an_image_taken_away_leaves_those_that_are_still_read(fresh):
    page = fresh.page
    page.evaluate(GATE, 3)
    page.set_input_files("#file", [png(f"{index}.png", 40 + index) for index in range(6)])
    page.wait_for_selector("#tray > li:nth-child(3)")
    page.get_by_label("Remove 1.png").click()
    page.evaluate("() => openGate()")
    page.wait_for_selector("#tray > li:nth-child(5)")
    assert page.locator("#tray .drop").evaluate_all("(all) => all.map((each) => each.ariaLabel)") == [
        f"Remove {index}.png" for index in (0, 2, 3, 4, 5)
    ]


def test_a_server_that_tells_more_reads_all_images_again_and_leaves_the_stage(fresh):
    page = fresh.page
    page.evaluate(GATE, 4)
    page.set_input_files("#file", [png(f"{index}.png", 40 + index) for index in range(6)])
    page.wait_for_selector("#tray > li:nth-child(4)")
    page.get_by_label("Remove 1.png").click()
    page.locator("#tray .pick").nth(1).click()
    page.click("#key-button")
    with page.expect_response("**/v1"):
        page.fill("#key-field", "any")
        page.keyboard.press("Enter")
    settle(page)
    assert page.locator("#submit").inner_text() == "Caption 3 images"
    page.evaluate("() => openGate()")
    page.wait_for_selector("#tray > li:nth-child(5)")
    assert "2.png" in page.inner_text("#stage-caption")


def test_a_folder_among_dropped_files_is_named_and_the_files_are_taken(visitor, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    files = [tmp_path / f"{name}.png" for name in ("one", "two")]
    for file in files:
        file.write_bytes(image_file("PNG"))
    drag(visitor.page, 200, 300, files=[str(each) for each in (files[0], folder, files[1])])
    visitor.page.wait_for_selector("#tray > li:nth-child(2)")
    visitor.page.wait_for_selector("#stage-note:has-text('Cannot be read: folder.')")
    assert not visitor.page.is_visible("#trouble")


def test_a_file_that_is_gone_after_it_was_chosen_is_not_the_servers_fault(visitor, tmp_path):
    file = tmp_path / "edited.png"
    file.write_bytes(image_file("PNG"))
    visitor.page.set_input_files("#file", file)
    visitor.page.wait_for_selector(SHOWN.format("edited.png"))
    file.unlink()
    visitor.expected.append("ERR_")
    card = visitor.ask()
    visitor.until(card, "failed")
    assert "The image cannot be read any more" in card.inner_text()
    assert "Choose it again" in card.inner_text()


def test_text_is_dropped_where_it_can_be_written(visitor):
    page = visitor.page
    page.locator("[name=task][value=vqa]").check()
    box = page.locator("#questions textarea").bounding_box()
    words = {"mimeType": "text/plain", "data": "What is this?"}
    drag(page, box["x"] + 20, box["y"] + 10, items=[words])
    assert page.input_value("#questions textarea") == "What is this?"


def test_an_image_that_the_server_no_longer_has_is_not_taken_for_another_version(visitor):
    visitor.expected.append("404")
    visitor.page.route("**/v1/caption", answered(404, problem("Not found", 404)))
    visitor.sample()
    card = visitor.ask()
    visitor.until(card, "failed")
    assert "another version" not in card.inner_text()


REFUSED = """(path) => {  // in the page, since fifty answers of a server take long
    const send = window.fetch;
    const refused = () => new Response('{"title": "No", "status": 422, "detail": "because"}', {status: 422});
    window.fetch = (url, ...rest) => (String(url).endsWith(path) ? Promise.resolve(refused()) : send(url, ...rest));
}"""
PRESSED = "(times) => { while (times--) document.getElementById('ask').requestSubmit(); }"


def fill_the_page(page) -> None:
    """Ask for more captions than the page has cards, each of which is refused, and for one more once they are."""
    page.evaluate(REFUSED, "v1/caption")
    for times, failed in ((55, 55), (1, 49)):  # while they run they all stay; the last press takes the oldest away
        page.evaluate(PRESSED, times)
        page.wait_for_function(
            "(count) => document.querySelectorAll('#answers > li[data-state=failed]').length === count", arg=failed
        )
    assert page.locator("#answers > li").count() == 50


def test_a_request_that_is_answered_after_fifty_others_still_has_its_card(fresh):
    fresh.sample()
    waiting = hold(fresh.page, "**/v1/vqa")
    with fresh.page.expect_request("**/v1/vqa"):
        fresh.ask("Which came first?")
    fresh.page.locator("[name=task][value=caption]").check()
    fill_the_page(fresh.page)
    stream = 'data: {"chunk": "Late."}\n\ndata: {"completed": true}\n\n'
    waiting[0].fulfill(body=stream, content_type="text/event-stream")
    fresh.page.wait_for_selector("#answers > li[data-state=done]:has-text('Late.')")


def test_a_card_whose_sample_is_on_its_way_again_stays_on_the_page(fresh):
    page = fresh.page
    fresh.sample()
    fresh.until(fresh.ask(), "done")
    page.reload()
    fresh.sample("cafe.jpg")
    waiting = hold(page, "**/samples/scene.png")
    with page.expect_request("**/samples/scene.png"):
        fresh.newest().get_by_text("Ask again").click()
    fill_the_page(page)
    waiting[0].continue_()
    page.wait_for_selector("#answers > li:has(img[alt='scene.png'])[data-state=failed]")


def test_a_card_that_is_cleared_while_its_sample_comes_asks_nothing_unseen(fresh):
    page = fresh.page
    fresh.sample()
    fresh.until(fresh.ask(), "done")
    page.reload()
    asked = []
    page.on("request", lambda sent: asked.append(sent.url) if sent.url.endswith("/v1/caption") else None)
    waiting = hold(page, "**/samples/scene.png")
    with page.expect_request("**/samples/scene.png"):
        fresh.newest().get_by_text("Ask again").click()
    page.click("#kept-clear")
    page.click("#kept-clear")
    waiting[0].continue_()
    page.wait_for_selector(SHOWN.format("scene.png"))
    settle(page)
    assert asked == []
