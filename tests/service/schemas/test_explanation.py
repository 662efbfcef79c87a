"""Explanations as clients get them: asked for in a request, whole, streamed and for several questions."""

from __future__ import annotations

import base64
from io import BytesIO

import pytest
from PIL import Image

from model.config import named_geometry
from tests.support.serving import TALKATIVE, assert_problem, body, data_uri, events_of, image_file, running_server

CONFIG = named_geometry("pheye-micro")
GRID = CONFIG.level * CONFIG.vision.tile_px // CONFIG.vision.patch_px  # cells along each side
SETTINGS = {"max_tokens": 12} | TALKATIVE


@pytest.fixture(scope="module")
def client():
    with running_server() as server, server.client() as client:
        yield client


def assert_whole(explanation, text):
    """It has all its parts, they fit each other, and its words are the answer's."""
    assert explanation.keys() == {"heat_map", "heat_map_png", "grid", "layers", "words"}
    assert [layer["layer"] for layer in explanation["layers"]] == list(CONFIG.cross_layers)
    for layer in explanation["layers"]:
        assert layer["global_share"] + layer["local_share"] == pytest.approx(1.0, abs=1e-5)
    for told in (explanation, *explanation["words"]):
        assert [len(row) for row in told["heat_map"]] == [explanation["grid"]] * explanation["grid"]
        assert sum(cells(told)) == pytest.approx(1.0, abs=1e-3)
        assert_drawn(told)
    assert [text[word["start"] : word["end"]] for word in explanation["words"]] == text.split()
    assert [word["text"] for word in explanation["words"]] == text.split()


def cells(told):
    return [cell for row in told["heat_map"] for cell in row]


def assert_drawn(told):
    head, _, encoded = told["heat_map_png"].partition(",")
    assert head == "data:image/png;base64"
    with Image.open(BytesIO(base64.b64decode(encoded))) as picture:
        drawn = list(picture.get_flattened_data())
    assert drawn.index(max(drawn)) == cells(told).index(max(cells(told)))
    assert max(drawn) == 255


@pytest.mark.parametrize(("path", "key"), [("/v1/caption", "caption"), ("/v1/vqa", "answer"), ("/v1/query", "answer")])
def test_an_explanation_comes_with_the_answer_that_it_does_not_change(client, path, key):
    asked = body(settings=SETTINGS) | ({} if key == "caption" else {"question": "What is it?"})
    plain = client.post(path, json=asked).json()
    told = client.post(path, json=asked | {"explain": True}).json()
    assert told[key] == plain[key]
    assert told["usage"]["completion_tokens"] == plain["usage"]["completion_tokens"] == 12
    assert told.keys() - plain.keys() == {"explanation"}
    assert_whole(told["explanation"], told[key])


def test_a_stream_ends_with_the_explanation_of_the_whole_answer(client):
    asked = body(settings=SETTINGS, explain=True)
    whole = client.post("/v1/caption", json=asked).json()
    with client.stream("POST", "/v1/caption", json=asked | {"stream": True}) as response:
        *chunks, end = events_of(response)
    assert all(chunk.keys() == {"chunk"} for chunk in chunks)
    assert "".join(chunk["chunk"] for chunk in chunks) == whole["caption"]
    assert end["explanation"] == whole["explanation"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_several_questions_have_an_explanation_each_like_alone(client, stream):
    asked = body(settings=SETTINGS, explain=True)
    questions = ["What is left?", "What is right?", ""]
    alone = [client.post("/v1/vqa", json=asked | {"question": text}).json()["explanation"] for text in questions]
    together = asked | {"questions": questions}
    if stream:
        with client.stream("POST", "/v1/vqa", json=together | {"stream": True}) as response:
            *_, answer = events_of(response)
    else:
        answer = client.post("/v1/vqa", json=together).json()
    assert "explanation" not in answer
    assert [told["grid"] for told in answer["explanations"]] == [GRID] * 3
    for told, expected in zip(answer["explanations"], alone, strict=True):
        assert [word["text"] for word in told["words"]] == [word["text"] for word in expected["words"]]
        assert cells(told) == pytest.approx(cells(expected), abs=1e-5)


def test_a_form_and_a_query_ask_for_it_too(client):
    file = {"image": ("a.png", image_file("PNG"), "image/png")}
    formed = client.post("/v1/caption", data={"explain": "true", "length": "short"}, files=file).json()
    url = {"image_url": data_uri(image_file("PNG"), "image/png"), "explain": "true", "length": "short"}
    assert formed["explanation"]["words"]
    assert client.post("/v1/caption", params=url).json()["explanation"] == formed["explanation"]


def test_more_explained_tokens_than_one_request_may_have_are_refused_by_name(client):
    asked = body(questions=["a"] * 16, explain=True, settings={"max_tokens": 257})
    for path in ("/v1/vqa", "/v1/estimate"):
        assert_problem(client.post(path, json=asked), 422, "explain: 16 answers of up to 257 tokens are more than")
    assert client.post("/v1/estimate", json=asked | {"settings": {"max_tokens": 256}}).is_success
    assert client.post("/v1/estimate", json=asked | {"explain": False}).is_success


def test_of_explained_choices_the_words_count_and_not_the_tokens_allowed(client):
    asked = body(questions=["a"] * 16, explain=True, answer_style="short", settings={"max_tokens": 900})
    long = ["no", "a " * 257]
    assert_problem(client.post("/v1/vqa", json=asked | {"choices": long}), 422, "send shorter choices")
    assert client.post("/v1/estimate", json=asked | {"choices": ["yes", "no"]}).is_success
