"""Answers: the stream and the whole say the same, however the text was cut; several rows are summed up rightly."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.explain import Explanation, HeatMap, WordMap
from model.request import TokenLogprob
from service.api.answers import Answer, OfferedChoice
from service.api.encoding import Extended, sse_event, to_json
from service.messages.from_worker import Delta, Finished, RowTimings, Usage
from service.schemas.responses import Problem, StreamFailure

_MAP = HeatMap(np.full((2, 2), 0.25, np.float32))
EXPLANATION = Explanation((), _MAP, (WordMap("a", 0, 1, _MAP),))


def finished(text="", reason="stop", cached=True, seconds=1.0):
    usage = Usage(
        prompt_tokens=10, completion_tokens=3, image_tokens=325, image_tiles=5, image_tiles_cached=5 if cached else 2
    )
    return Finished("row", text, reason, usage, RowTimings(seconds, seconds, seconds, seconds))


@given(st.lists(st.text(" \n\tab", max_size=4), max_size=8), st.text(" a", max_size=3))
def test_the_chunks_of_a_stream_are_the_whole_answer_without_leading_space(texts, last):
    answer = Answer("id", "model", "caption", 1)
    chunks = [answer.take(0, event) for event in [*(Delta("row", (1,), text) for text in texts), finished(last)]]
    whole = answer.whole(preprocess_s=0.0, total_s=0.0).caption
    assert "".join(chunk.chunk for chunk in chunks if chunk is not None) == whole
    assert whole == ("".join(texts) + last).lstrip()


def test_usage_is_summed_over_the_rows_but_the_image_counts_once():
    answer = Answer("id", "model", "answers", 2)
    answer.take(0, finished("one", seconds=1.0))
    answer.take(1, finished("two", reason="length", cached=False, seconds=2.0))
    whole = json.loads(to_json(answer.whole(preprocess_s=0.5, total_s=9.0)))
    assert whole["answers"] == ["one", "two"]
    assert whole["finish_reason"] == "length"
    assert whole["finish_reasons"] == ["stop", "length"]
    assert whole["usage"] == {
        "prompt_tokens": 20,
        "completion_tokens": 6,
        "image_tokens": 325,
        "image_tiles": 5,
        "image_tiles_cached": 2,
        "image_features_cached": False,
    }
    assert whole["timings"] == {
        "queue": 2.0, "preprocess": 0.5, "encode": 2.0, "prefill": 2.0, "decode": 2.0, "total": 9.0,
    }  # fmt: skip


def test_the_confidence_is_the_mean_over_the_tokens_of_all_rows_and_of_each():
    answer = Answer("id", "model", "answers", 2)
    for row, logprobs in enumerate([(-1.0,), (-0.25, -0.5, 0.0)]):
        for logprob in logprobs:
            answer.take(row, Delta("row", (1,), "a", (TokenLogprob(logprob),)))
        answer.take(row, finished())
    whole = json.loads(to_json(answer.whole(preprocess_s=0.0, total_s=0.0)))
    assert whole["confidence"] == -0.4375
    assert whole["confidences"] == [-1.0, -0.25]


@pytest.mark.parametrize("letters", [["A", "B"], [None, None]], ids=["letters", "texts"])
def test_the_probabilities_of_choices_are_told_whole_and_streamed(letters):
    offered = [OfferedChoice(text, letter) for text, letter in zip(["cat", "dog"], letters, strict=True)]
    answer = Answer("id", "model", "answer", 1, offered)
    answer.take(0, replace(finished("dog"), probabilities=(0.25, 0.75)))
    told = [{"text": "cat", "probability": 0.25}, {"text": "dog", "probability": 0.75}]
    if letters[0]:
        told = [{"letter": letter, **choice} for letter, choice in zip(letters, told, strict=True)]
    assert sent(answer.whole(preprocess_s=0.0, total_s=0.0))["choices"] == told
    [end] = answer.closing(preprocess_s=0.0, total_s=0.0)
    assert sent(end)["choices"] == told


@pytest.mark.parametrize("key", ["caption", "answer", "answers"])
def test_what_does_not_apply_is_absent_and_never_null(key):
    answer = Answer("id", "model", key, 1)
    chunk = answer.take(0, finished("a\nb"))
    several = {"finish_reasons"} if key == "answers" else set()
    common = {"id", "model", "finish_reason", "usage", "timings"} | several
    assert sent(chunk).keys() == {"chunk"} | ({"index"} if key == "answers" else set())
    assert sent(answer.whole(preprocess_s=0.0, total_s=0.0)).keys() == common | {key}
    [end] = answer.closing(preprocess_s=0.0, total_s=0.0)
    assert sent(end).keys() == common | {"completed"}


@pytest.mark.parametrize(("key", "name"), [("answer", "explanation"), ("answers", "explanations")])
def test_explanations_are_left_to_be_written_one_at_a_time_whole_and_streamed(key, name):
    rows = 2 if key == "answers" else 1
    answer = Answer("id", "model", key, rows)
    for row in range(rows):
        answer.take(row, replace(finished("a"), explanation=EXPLANATION))
    [end] = answer.closing(preprocess_s=0.0, total_s=0.0)
    for told in (answer.whole(preprocess_s=0.0, total_s=0.0), end):
        assert isinstance(told, Extended)
        whole = json.loads(told.joined([write() for write in told.write]))
        explained = whole[name] if key == "answers" else [whole[name]]
        assert [[word["text"] for word in each["words"]] for each in explained] == [["a"]] * rows


def test_a_failure_in_mid_stream_is_the_problem_and_the_end():
    problem = Problem(type="/errors/x", title="X", status=504, detail="too late", instance="/requests/id")
    [last] = Answer("id", "model", "caption", 1).failed(problem)
    assert isinstance(last, StreamFailure)
    assert sent(last) == {"error": problem.model_dump(), "completed": True}


def sent(data):
    """Read a server-sent event as a client does, which is on one line."""
    [line, *rest] = sse_event(data).decode().split("\n")
    assert rest == ["", ""]
    return json.loads(line.removeprefix("data: "))
