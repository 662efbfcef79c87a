"""Choices over HTTP: the answer is one of them, whole and streamed, with the probability of each; confidences."""

from __future__ import annotations

import json
import math
from pathlib import Path

import httpx
import openai
import pytest

from tests.support.serving import Server, assert_problem, data_uri, events_of

SCENE = data_uri((Path(__file__).parents[4] / "docs/images/scene.png").read_bytes(), "image/png")
ANIMAL = {"question": "Which animal is it?", "answer_style": "choice", "choices": ["cat", "dog"]}
SETTINGS = {"max_tokens": 20, "temperature": 0.7, "top_p": 0.9, "seed": 1, "stop": ["\n"]}
SIGN = "What does the sign say?"


@pytest.fixture(scope="module")
def server(tiny_server):
    return tiny_server


def post(server: Server, path: str = "/v1/vqa", **fields):
    response = httpx.post(f"{server.url}{path}", json={"image_url": SCENE, **fields}, timeout=60.0)
    assert response.status_code == 200, response.text
    return response.json()


def streamed(server: Server, path: str = "/v1/vqa", **fields):
    sent = {"image_url": SCENE, "stream": True, **fields}
    with httpx.stream("POST", f"{server.url}{path}", json=sent, timeout=60.0) as response:
        *chunks, end = events_of(response)
    assert end["completed"] is True
    return chunks, end


@pytest.mark.parametrize("settings", [{}, SETTINGS], ids=["greedy", "with all settings"])
def test_a_picture_without_an_animal_is_still_a_cat_or_a_dog(server, settings):
    told = post(server, **ANIMAL, settings=settings)
    assert told["answer"] in ("A", "B")
    assert [(choice["letter"], choice["text"]) for choice in told["choices"]] == [("A", "cat"), ("B", "dog")]
    assert sum(choice["probability"] for choice in told["choices"]) == pytest.approx(1.0, abs=2e-6)
    assert told["finish_reason"] == "stop"
    assert told["usage"]["completion_tokens"] == 2
    assert told["confidence"] < 0
    if not settings:
        best = max(told["choices"], key=lambda choice: choice["probability"])
        assert told["answer"] == best["letter"]


@pytest.mark.parametrize("style", ["short", "sentence"])
@pytest.mark.parametrize(
    ("choices", "right"),
    [(["1234", "4695", "46"], "4695"), (['The sign says "4695".', 'The sign says "46".'], 'The sign says "4695".')],
    ids=["words", "sentences"],
)
def test_texts_are_answered_word_for_word(server, style, choices, right):
    told = post(server, question=SIGN, answer_style=style, choices=choices)
    assert told["answer"] in choices
    assert [choice.keys() for choice in told["choices"]] == [{"text", "probability"}] * len(choices)
    if (style == "sentence") == right.startswith("The"):  # else the model was taught to answer otherwise
        assert told["answer"] == right


def test_a_streamed_choice_is_one_chunk_and_ends_with_the_same_numbers(server):
    for asked in (ANIMAL, {"question": SIGN, "choices": ["4695", "a 4695 in red"]}):
        whole, (chunks, end) = post(server, **asked), streamed(server, **asked)
        assert chunks == [{"chunk": whole["answer"]}]
        assert end["confidence"] == pytest.approx(whole["confidence"], abs=1e-4)
        for one, other in zip(end["choices"], whole["choices"], strict=True):
            assert one["probability"] == pytest.approx(other["probability"], abs=1e-4)


def test_each_of_several_questions_has_its_own_choices_and_confidence(server):
    questions = ["Is there a yellow circle?", "Is there a red circle?", SIGN]
    asked = {"questions": questions, "answer_style": "short", "choices": ["yes", "no"]}
    told, (chunks, end) = post(server, **asked), streamed(server, **asked)
    assert told["answers"][:2] == ["yes", "no"]
    assert told["answers"][2] in asked["choices"]
    assert {chunk["index"]: chunk["chunk"] for chunk in chunks} == dict(enumerate(told["answers"]))
    assert len(told["confidences"]) == len(told["choices_by_question"]) == 3
    assert "choices" not in told
    for question, choices in zip(questions, told["choices_by_question"], strict=True):
        alone = post(server, question=question, answer_style="short", choices=["yes", "no"])
        assert [each["probability"] for each in choices] == pytest.approx(
            [each["probability"] for each in alone["choices"]], abs=1e-4
        )
    assert end["confidences"] == pytest.approx(told["confidences"], abs=1e-4)


def test_choices_come_by_form_and_query_too(server):
    scene = (Path(__file__).parents[4] / "docs/images/scene.png").read_bytes()
    fields = {"question": SIGN, "choices": ["1234", "4695"]}
    form = httpx.post(f"{server.url}/v1/vqa", data=fields, files={"image": scene}, timeout=60.0).json()
    raw = httpx.post(
        f"{server.url}/v1/vqa", params=fields, content=scene, headers={"content-type": "image/png"}, timeout=60.0
    ).json()
    assert form["answer"] == raw["answer"] == "4695"


def test_choices_that_cannot_fit_are_refused_and_estimated_as_refused(server):
    asked = {"image_url": SCENE, "question": SIGN, "choices": ["\u2603" * 1000, "\u2604" * 1000]}
    for path in ("/v1/vqa", "/v1/estimate"):
        assert_problem(httpx.post(f"{server.url}{path}", json=asked), 422, "choices: their ")


def test_the_estimate_of_choices_is_what_they_cost(server):
    for asked in (ANIMAL, {"question": SIGN, "choices": ["4695", "a 4695 in red"]}):
        estimate = post(server, "/v1/estimate", **asked)
        usage = post(server, **asked)["usage"]
        assert estimate["prompt_tokens"] == usage["prompt_tokens"]
        assert estimate["max_completion_tokens"] >= usage["completion_tokens"]
        assert estimate["flops"]["decode"] == 0


@pytest.mark.parametrize(("path", "fields"), [("/v1/caption", {}), ("/v1/vqa", {"question": SIGN})])
def test_every_answer_tells_its_confidence(server, path, fields):
    whole, (_, end) = post(server, path, **fields), streamed(server, path, **fields)
    assert -1.0 < whole["confidence"] <= 0.0
    assert end["confidence"] == pytest.approx(whole["confidence"], abs=1e-4)


def test_the_confidence_of_a_chat_is_the_mean_of_its_log_probabilities_and_the_end_tokens(server):
    content = [{"type": "image_url", "image_url": {"url": SCENE}}, {"type": "text", "text": SIGN}]
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="any") as client:
        ask = {"model": "pheye-tiny", "messages": [{"role": "user", "content": content}]}
        whole = client.chat.completions.create(**ask, logprobs=True, top_logprobs=20)
        plain = client.chat.completions.create(**ask)
        chunks = list(client.chat.completions.create(**ask, logprobs=True, top_logprobs=1, stream=True))
    native = post(server, question=SIGN)
    message, told = whole.choices[0].message.content, whole.choices[0].logprobs
    assert message == plain.choices[0].message.content == native["answer"]
    assert plain.choices[0].logprobs is None
    assert "".join(each.token for each in told.content).lstrip() == message
    assert told.refusal is None
    assert len(told.content) == whole.usage.completion_tokens - 1
    confidence = whole.model_extra["pheye"]["confidence"]
    assert confidence == pytest.approx(native["confidence"], abs=1e-4)
    end_token = confidence * whole.usage.completion_tokens - sum(each.logprob for each in told.content)
    assert -1.0 < end_token < 1e-4
    for each in told.content:
        assert len(each.top_logprobs) == 20
        assert each.top_logprobs[0].token == each.token
        assert each.top_logprobs[0].logprob == each.logprob
        assert sum(math.exp(other.logprob) for other in each.top_logprobs) <= 1.0 + 1e-5
    pieces = [
        each for chunk in chunks for choice in chunk.choices if choice.logprobs for each in choice.logprobs.content
    ]
    assert [each.token for each in pieces] == [each.token for each in told.content]
    assert [each.logprob for each in pieces] == pytest.approx([each.logprob for each in told.content], abs=1e-4)
    assert all("pheye" not in chunk.model_extra for chunk in chunks[:-1])
    assert chunks[-1].model_extra["pheye"]["confidence"] == pytest.approx(confidence, abs=1e-4)


def test_alternatives_without_log_probabilities_are_refused_by_name(server):
    content = [{"type": "image_url", "image_url": {"url": SCENE}}, {"type": "text", "text": SIGN}]
    sent = {"messages": [{"role": "user", "content": content}], "top_logprobs": 3}
    refused = httpx.post(f"{server.url}/v1/chat/completions", json=sent)
    assert refused.status_code == 400
    assert json.loads(refused.text)["error"]["param"] == "top_logprobs"
