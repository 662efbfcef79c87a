"""The public `moondream` client, as it is, against a running service."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from io import BytesIO
from typing import Any
from urllib.error import HTTPError

import httpx
import moondream
import pytest
from PIL import Image

from tests.support.serving import ENDLESS, TALKATIVE, body, data_uri, image_file, running_server, wait_until

SETTINGS = {"max_tokens": 10} | TALKATIVE
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="module")
def server():
    with running_server(api_keys="secret", name="eye") as running:
        yield running


@pytest.fixture(scope="module")
def model(server):
    return moondream.vl(endpoint=f"{server.url}/v1", api_key="secret")


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return Image.open(BytesIO(image_file()))


def refusal(call: Any, *args: Any, **kwargs: Any) -> tuple[int, str]:
    """The status and the words with which a call fails; generators fail when they are read."""
    with pytest.raises(HTTPError) as caught:
        list(call(*args, **kwargs).values())
    with caught.value as response:
        return response.code, json.load(response)["detail"]


@STREAMED
@pytest.mark.parametrize("length", ["short", "normal", "long"])
def test_a_caption_of_every_length_comes_whole_and_streamed(server, model, picture, length, stream):
    caption = "".join(model.caption(picture, length=length, stream=stream, settings=SETTINGS)["caption"])
    sent = {"image_url": model.encode_image(picture).image_url, "length": length, "settings": SETTINGS}
    with server.client(headers={"x-moondream-auth": "secret"}) as client:
        assert caption == client.post("/v1/caption", json=sent).json()["caption"]
    assert caption


@STREAMED
def test_a_question_is_answered_whole_and_streamed(server, model, picture, stream):
    answer = "".join(model.query(picture, "What?", stream=stream, settings=SETTINGS)["answer"])
    sent = {"image_url": model.encode_image(picture).image_url, "question": "What?", "settings": SETTINGS}
    with server.client(headers={"x-moondream-auth": "secret"}) as client:
        assert answer == client.post("/v1/query", json=sent).json()["answer"]
    assert answer


def test_an_image_encoded_once_is_asked_about_often(model, picture):
    encoded = model.encode_image(picture)
    assert model.caption(encoded, settings=SETTINGS)["caption"]
    assert model.query(encoded, "What?", settings=SETTINGS)["answer"]


def test_settings_change_the_answer(model, picture):
    long, short = ({"temperature": 1.0, "top_p": 0.9, "seed": 1, "max_tokens": tokens} for tokens in (20, 2))
    whole = model.query(picture, "What?", settings=long)["answer"]
    start = model.query(picture, "What?", settings=short)["answer"]
    assert whole.startswith(start)
    assert len(whole) > len(start)


@STREAMED
def test_a_chat_about_an_image_is_answered_if_the_model_is_named(server, picture, stream):
    model = moondream.vl(endpoint=f"{server.url}/v1", api_key="secret", model="eye")
    parts = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": data_uri(image_file())}}]
    settings = {"max_tokens": 10, "temperature": 1.0}
    message = model.chat([{"role": "user", "content": parts}], stream=stream, settings=settings)["message"]
    assert "".join(message) if stream else message["content"]


@pytest.mark.parametrize("task", ["detect", "point", "segment"])
@pytest.mark.parametrize("size", [(96, 64), (1500, 1500)], ids=["small", "large"])
def test_boxes_points_and_masks_are_refused_with_what_is_offered(model, task, size):
    picture = Image.effect_noise(size, 80)
    status, words = refusal(getattr(model, task), picture, "cat")
    assert status == 404
    assert words.startswith(f"{task}: not offered")
    assert "/v1/caption" in words


def test_a_streamed_mask_is_refused_too(model, picture):
    with pytest.raises(HTTPError, match="404") as caught:
        list(model.segment(picture, "cat", stream=True))
    caught.value.close()


PARTS = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": data_uri(image_file())}}]


@STREAMED
@pytest.mark.parametrize("reasoning", [None, False, True])
def test_a_chat_needs_neither_a_model_nor_a_word_on_reasoning(server, model, stream, reasoning):
    asked = [{"role": "user", "content": PARTS}]
    told = model.chat(asked, stream=stream, settings={"max_tokens": 8, "temperature": 0.0}, reasoning=reasoning)
    answer = "".join(told["message"]) if stream else told["message"]["content"]
    with server.client(headers={"x-moondream-auth": "secret"}) as client:
        sent = {"messages": asked, "max_tokens": 8}
        plain = client.post("/v1/chat/completions", json=sent).json()["choices"][0]["message"]["content"]
    assert answer == plain


@STREAMED
def test_what_has_no_effect_is_taken_from_these_clients(model, picture, stream):
    settings = SETTINGS | {"max_objects": 5}
    plain = model.query(picture, "What?", settings=SETTINGS)["answer"]
    told = model.query(picture, "What?", settings=settings, reasoning=True, stream=stream)["answer"]
    assert "".join(told) == plain


@pytest.mark.parametrize("agent", ["moondream-python/2.6.1", "moondream-node/0.2.0"])
def test_their_requests_name_what_has_no_effect_and_others_are_refused(server, agent):
    sent = {"image_url": data_uri(image_file()), "question": "What?", "reasoning": False, "variant": "a"}
    with server.client(headers={"x-moondream-auth": "secret"}) as client:
        taken = client.post("/v1/query", json=sent, headers={"user-agent": agent})
        assert taken.status_code == 200
        assert taken.headers["x-pheye-ignored"] == "reasoning,variant"
        refused = client.post("/v1/query", json=sent)
    assert refused.status_code == 422
    assert "x-pheye-ignored" not in refused.headers


def test_strictness_holds_for_these_clients_too(picture):
    with running_server(strict="true") as server:
        model = moondream.vl(endpoint=f"{server.url}/v1")
        assert refusal(model.query, picture, "?", reasoning=True)[1].startswith("reasoning: unknown field")


def test_what_a_query_can_ask_and_pheye_cannot_do_names_the_field(model, picture):
    assert refusal(model.query, picture, "?", spatial_refs=[[0.5, 0.5]]) == (
        422,
        "spatial_refs: would change the answer, and is not offered; leave it out",
    )
    assert refusal(model.query, None, "What?") == (
        422,
        "image_url: no image; send image_url in JSON, a file field image in a form, or the image itself",
    )


def test_another_models_name_is_refused(server, picture):
    model = moondream.vl(endpoint=f"{server.url}/v1", api_key="secret", model="moondream3-preview")
    assert refusal(model.caption, picture) == (422, "model: the model served here is 'eye'")


@pytest.mark.parametrize("key", [None, "wrong"], ids=["none", "wrong"])
@pytest.mark.parametrize("size", [(96, 64), (2000, 2000)], ids=["small", "still-sending"])
def test_the_client_must_have_the_key(server, key, size):
    model = moondream.vl(endpoint=f"{server.url}/v1", api_key=key)
    status, words = refusal(model.caption, Image.effect_noise(size, 80))
    assert status == 401
    assert "X-Moondream-Auth" in words


def printed(call: Any, *args: Any, **kwargs: Any) -> str:
    """What the client prints of a failed request, which is all that its users see."""
    with pytest.raises(HTTPError) as caught:
        list(call(*args, **kwargs).values())
    caught.value.close()
    return str(caught.value)


def test_the_reason_of_an_error_is_what_the_client_prints(server, model, picture):
    named = moondream.vl(endpoint=f"{server.url}/v1", api_key="secret", model="other")
    assert printed(named.caption, picture) == "HTTP Error 422: model: the model served here is 'eye'"
    said = printed(named.chat, [{"role": "user", "content": PARTS}])
    assert said == "HTTP Error 404: model: no such model; the one served here is 'eye'"
    assert printed(model.detect, picture, "cat").startswith("HTTP Error 404: detect: not offered; Pheye answers in")
    keyless = moondream.vl(endpoint=f"{server.url}/v1")
    assert printed(keyless.caption, picture).startswith("HTTP Error 401: send a valid key as")
    assert model.caption(picture, settings=SETTINGS)["caption"]  # and its next answer is none of that


def test_another_clients_status_line_has_the_words_of_its_status(server):
    response = httpx.post(f"{server.url}/v1/caption", headers={"x-moondream-auth": "secret"})
    assert response.reason_phrase == HTTPStatus(422).phrase


def test_when_to_come_back_is_what_the_client_prints(picture):
    with running_server(client_rate="1/hour") as server:
        model = moondream.vl(endpoint=f"{server.url}/v1")
        model.caption(picture, settings=SETTINGS)
        assert re.fullmatch(
            r"HTTP Error 429: your limit is 1 per 1 hour; try again in \d+ s", printed(model.caption, picture)
        )


def test_that_the_model_still_loads_is_what_the_client_prints(picture):
    with running_server(ready=False, warm=False) as server:
        said = printed(moondream.vl(endpoint=f"{server.url}/v1").caption, picture)
    assert re.fullmatch(r"HTTP Error 503: the model is loading.*; try again in \d+ s", said)


def test_an_answer_that_fails_in_the_middle_is_an_error_and_not_a_short_answer(picture):
    with running_server(deadline_s=1.0) as server:
        wait_until(lambda: httpx.post(f"{server.url}/v1/caption", json=body()).is_success)  # a decoder has come up
        model = moondream.vl(endpoint=f"{server.url}/v1")
        pieces = model.caption(picture, stream=True, settings={"max_tokens": 780} | ENDLESS)["caption"]
        assert next(pieces)
        with pytest.raises(ValueError, match="Failed to parse JSON"):
            list(pieces)
        assert server.metric('pheye_requests_total{endpoint="/v1/caption",status="504"}') == 1.0
        assert "Traceback" not in server.log
