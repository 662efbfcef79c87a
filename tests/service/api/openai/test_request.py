"""The fields of a chat: what is taken, what changes nothing, and what is refused by name."""

from __future__ import annotations

import pytest

from service.api.openai.request import check_chat
from service.errors import InvalidField, UnsupportedParameter
from service.schemas.requests import SamplingFields

MESSAGES = [{"role": "user", "content": "Why?"}]


def test_absent_settings_are_greedy_with_the_services_length():
    asked = check_chat({"messages": MESSAGES})
    assert asked.sampling == SamplingFields()
    assert asked.sampling.temperature == 0.0
    assert not asked.include_usage


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_settings_are_those_of_the_native_routes(name):
    fields = {name: 5, "temperature": 1, "top_p": 0.5, "seed": 7, "stop": "x"}
    asked = check_chat({"messages": MESSAGES, **fields})
    assert asked.sampling == SamplingFields(max_tokens=5, temperature=1.0, top_p=0.5, seed=7, stop=["x"])


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 1, "logprobs": False, "tool_choice": "none", "response_format": {"type": "text"}, "modalities": ["text"]},
        {"frequency_penalty": 0, "presence_penalty": 0.0, "store": False, "service_tier": "auto"},
        {"user": "me", "metadata": {"a": "b"}, "safety_identifier": "x", "prompt_cache_key": "y"},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"logprobs": False, "top_logprobs": 0},
        dict.fromkeys(("tools", "functions", "audio", "stop", "seed", "temperature", "top_p", "max_tokens", "stream")),
        {"messages": [{"role": "assistant", "content": "a", "refusal": None, "tool_calls": None}, *MESSAGES]},
    ],
    ids=["neutral", "zeros", "hints", "stream", "no-logprobs", "nulls", "an-answer-sent-back"],
)
def test_what_changes_nothing_is_taken(fields):
    assert check_chat({"messages": MESSAGES, **fields}).messages[-1].content == "Why?"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2), ("tools", []), ("tool_choice", "required"), ("functions", []),
        ("response_format", {"type": "json_object"}), ("modalities", ["text", "audio"]), ("audio", {}), ("store", True),
        ("logit_bias", {"1": 2}), ("frequency_penalty", 0.1), ("presence_penalty", -1), ("prediction", {}),
        ("web_search_options", {}), ("reasoning_effort", "high"), ("service_tier", "scale"), ("function_call", "auto!"),
    ],
)  # fmt: skip
def test_what_pheye_cannot_do_is_refused_by_the_fields_name(field, value):
    with pytest.raises(UnsupportedParameter) as caught:
        check_chat({"messages": MESSAGES, field: value})
    assert caught.value.detail.startswith(field)
    assert " only" in caught.value.detail


PART = {"type": "input_audio", "input_audio": {"data": "QUJD" * 5000}}
LINK = {"type": "image_url", "image_url": "data:QUJD"}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({"messages": []}, "messages: ", id="no-messages"),
        pytest.param({"messages": MESSAGES * 257}, "messages: ", id="too-many"),
        pytest.param({"messages": [{"role": "tool", "content": "a"}]}, "messages.0.role: ", id="tool"),
        pytest.param({"messages": [{"role": "user", "content": 5}]}, "messages.0.content: must be a", id="content"),
        pytest.param({"messages": [{"role": "user", "content": []}]}, "messages.0.content: ", id="no-parts"),
        pytest.param({"messages": [{"role": "user", "content": [PART]}]}, "messages.0.content.0: only", id="audio"),
        pytest.param({"messages": [{"role": "user", "content": [LINK]}]}, "messages.0.content.0.image_url: ", id="url"),
        pytest.param({"messages": [{"role": "user", "content": "a", "b": 1}]}, "messages.0.b: unknown field", id="b"),
        pytest.param({"messages": [{"role": "user", "content": "a" * 16385}]}, "messages.0.content: ", id="long"),
        pytest.param({"temprature": 1}, "temprature: unknown field; did you mean temperature?", id="typo"),
        pytest.param({"temperature": 2.1}, "temperature: ", id="hot"),
        pytest.param({"max_tokens": 0}, "max_tokens: ", id="no-tokens"),
        pytest.param({"max_tokens": 1, "max_completion_tokens": 1}, "max_tokens: the former name", id="both"),
        pytest.param({"stop": ["a"] * 5}, "stop: ", id="five-stops"),
        pytest.param({"logprobs": True, "top_logprobs": 21}, "top_logprobs: ", id="21-alternatives"),
        pytest.param({"logprobs": True, "top_logprobs": -1}, "top_logprobs: ", id="less-than-none"),
        pytest.param({"top_logprobs": 2}, "top_logprobs: only with logprobs", id="alternatives-alone"),
        pytest.param({"logprobs": 1}, "logprobs: ", id="number-for-boolean"),
        pytest.param({"stream_options": {"include_usage": True}}, "stream_options: only with stream", id="options"),
        pytest.param({"stream": "yes"}, "stream: ", id="text-for-boolean"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_refused_where_it_stands_and_never_repeated(fields, words):
    with pytest.raises(InvalidField) as caught:
        check_chat({"messages": MESSAGES} | fields)
    assert caught.value.detail.startswith(words)
    assert "QUJD" not in caught.value.detail


def test_messages_are_required():
    with pytest.raises(InvalidField, match="messages: is missing"):
        check_chat({})
