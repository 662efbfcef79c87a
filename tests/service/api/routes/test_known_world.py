"""Pictures outside the model's known world over HTTP and on the command line: the sentence, and the warning beside it.

A sheet of two colours that run into each other shows nothing that pheye-tiny knows.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import httpx
import pytest
from PIL import Image
from typer.testing import CliRunner

from model.data.world.captions import NOTHING
from service.cli.main import app
from service.known_world import OUTSIDE_KNOWN_WORLD, PUBLISHED_MODEL, REAL_CHECKPOINT
from tests.support.pages import ROOT
from tests.support.serving import Server, data_uri, events_of

SCENE = (ROOT / "docs/images/scene.png").read_bytes()
DESCRIBE = "Describe the provided image"  # the instruction of a caption, to which any weights say the sentence
MARK = {"User-Agent": "moondream-python/2.6.1"}
WARNED, QUIET = [OUTSIDE_KNOWN_WORLD], list[str]()


def nothing_known() -> bytes:
    file = io.BytesIO()
    ends = Image.new("RGB", (2, 1), (40, 120, 110))
    ends.putpixel((1, 0), (190, 140, 90))
    ends.resize((240, 200), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


OUTSIDE, INSIDE = data_uri(nothing_known(), "image/png"), data_uri(SCENE, "image/png")


@pytest.fixture(scope="module")
def server(tiny_server: Server) -> Server:
    return tiny_server


def post(server: Server, path: str, image: str = OUTSIDE, headers: dict[str, str] = {}, **fields: object):  # noqa: B006
    sent = {"image_url": image, **fields}
    response = httpx.post(f"{server.url}/v1/{path}", json=sent, headers=headers, timeout=60.0)
    assert response.status_code == 200, response.text
    return response.json()


def chat(image: str, **fields: object):
    content = [{"type": "image_url", "image_url": {"url": image}}, {"type": "text", "text": DESCRIBE}]
    return {"model": "pheye-tiny", "messages": [{"role": "user", "content": content}], **fields}


def test_an_answer_outside_the_known_world_says_so_and_is_counted(server: Server) -> None:
    counted = 'pheye_answers_outside_total{endpoint="/v1/caption"}'
    before = server.metric(counted)
    for image, said, warnings in ((OUTSIDE, True, WARNED), (INSIDE, False, QUIET)):
        told = post(server, "caption", image)
        assert ((told["caption"] == NOTHING), told["warnings"]) == (said, warnings)
        assert post(server, "caption", image, headers=MARK)["warnings"] == warnings, "to moondream's clients too"
    assert server.metric(counted) == before + 2


@pytest.mark.parametrize("tokens", [2, 8], ids=["too short to be sure", "long enough"])
def test_a_sentence_that_max_tokens_cuts_is_warned_of_when_enough_of_it_is_there(server: Server, tokens: int) -> None:
    told = post(server, "caption", settings={"max_tokens": tokens})
    assert told["finish_reason"] == "length"
    assert NOTHING.startswith(told["caption"])
    assert told["warnings"] == (WARNED if 2 * len(told["caption"]) >= len(NOTHING) else QUIET)


def test_a_stream_ends_with_the_warning(server: Server) -> None:
    sent = {"image_url": OUTSIDE, "questions": [DESCRIBE, "Is there a star?\nYes or no"], "stream": True}
    with httpx.stream("POST", f"{server.url}/v1/vqa", json=sent, timeout=60.0) as response:
        *chunks, end = events_of(response)
    said = ["".join(each["chunk"] for each in chunks if each["index"] == index) for index in (0, 1)]
    assert said[0] == NOTHING
    assert end["warnings"] == WARNED
    assert end["warnings_by_question"] == [WARNED, WARNED if said[1] == NOTHING else QUIET]


def test_choices_cannot_be_the_sentence_and_are_doubted_where_it_is_more_probable(server: Server) -> None:
    asked = {"questions": [DESCRIBE], "answer_style": "sentence", "choices": ["A red circle.", "A blue star."]}
    told = post(server, "vqa", **asked)
    assert told["answers"][0] in asked["choices"]
    assert (told["warnings"], told["warnings_by_question"]) == (WARNED, [WARNED])
    assert sum(each["probability"] for each in told["choices_by_question"][0]) == pytest.approx(1.0, abs=1e-5)
    sign = {"question": "What does the sign say?", "answer_style": "short", "choices": ["4695", "46"]}
    assert post(server, "vqa", INSIDE, **sign)["warnings"] == QUIET
    itself = {"question": DESCRIBE, "answer_style": "sentence", "choices": ["A red circle.", NOTHING]}
    assert post(server, "vqa", **itself)["answer"] == NOTHING


def test_a_chat_is_warned_of_whole_and_in_the_last_piece_of_a_stream(server: Server) -> None:
    url = f"{server.url}/v1/chat/completions"
    for image, warnings in ((OUTSIDE, WARNED), (INSIDE, QUIET)):
        assert httpx.post(url, json=chat(image), timeout=60.0).json()["pheye"]["warnings"] == warnings
    with httpx.stream("POST", url, json=chat(OUTSIDE, stream=True), timeout=60.0) as response:
        pieces = [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: {")]
    assert [piece["pheye"]["warnings"] for piece in pieces if piece.get("pheye")] == [WARNED]
    assert pieces[-1]["pheye"]["warnings"] == WARNED


def test_the_service_says_what_its_model_knows(server: Server) -> None:
    model = httpx.get(f"{server.url}/v1").json()["model"]
    assert (model["name"], model["outside_answer"]) == ("pheye-tiny", NOTHING)
    assert "not photographs" in model["knows"]
    assert "What does the sign say?" in model["questions"]
    (line,) = [line for line in server.log.splitlines() if model["knows"] in line]
    assert line.endswith(f"pheye-tiny knows {model['knows']}; for others: {REAL_CHECKPOINT}")


@pytest.mark.parametrize("where", ["a service", "here"])
def test_a_command_says_it_in_a_line_and_in_its_file(where: str, server: Server, tmp_path: Path) -> None:
    out, folder = tmp_path / "out.jsonl", tmp_path / "pictures"
    folder.mkdir()
    for name, content in (("in.png", SCENE), ("out.png", nothing_known())):
        (folder / name).write_bytes(content)
    answerer = ["--server", server.url] if where == "a service" else ["--threads", "1", "--device", "cpu"]
    done = CliRunner().invoke(app, ["ask", str(folder), DESCRIBE, "--jsonl", str(out), *answerer])
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    found = {Path(line["image"]).name: line["warnings"] for line in lines}
    assert found == {"in.png": QUIET, "out.png": WARNED}
    knows = httpx.get(f"{server.url}/v1").json()["model"]["knows"]
    told = f"1 of 2 images is outside what pheye-tiny knows ({knows}); for others: "
    assert done.stderr.count(told) == 1
    assert (REAL_CHECKPOINT if where == "a service" else f"the same command with {PUBLISHED_MODEL}") in done.stderr
