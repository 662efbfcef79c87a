"""The fields of a chat: what is taken, what changes nothing, and what is refused by name."""

from __future__ import annotations

import pytest

from service.api.openai.request import FORMS, check_chat
from service.errors import InvalidField, UnsupportedParameter
from service.schemas.requests import SamplingFields

MESSAGES = [{"role": "user", "content": "Why?"}]
TOOL = {"type": "function", "function": {"name": "f"}}


def ignored(fields):
    return sorted({each.path for each in check_chat({"messages": MESSAGES, **fields}).ignored})


def test_absent_settings_are_greedy_with_the_services_length():
    asked = check_chat({"messages": MESSAGES})
    assert asked.sampling == SamplingFields()
    assert asked.sampling.temperature == 0.0
    assert not asked.include_usage


@pytest.mark.parametrize(
    "tokens",
    [{"max_tokens": 5}, {"max_completion_tokens": 5}, {"max_tokens": 5, "max_completion_tokens": 5}],
    ids=["former-name", "name", "both-equal"],
)
def test_settings_are_those_of_the_native_routes(tokens):
    fields = tokens | {"temperature": 1, "top_p": 0.5, "seed": 7, "stop": "x"}
    asked = check_chat({"messages": MESSAGES, **fields})
    assert asked.sampling == SamplingFields(max_tokens=5, temperature=1.0, top_p=0.5, seed=7, stop=["x"])
    assert asked.ignored == []


@pytest.mark.parametrize(
    ("sent", "seed"),
    [(-1, None), (None, None), (0, 0), (2**63 - 1, 2**63 - 1), (2**63, 0), (2**64 - 2, 2**63 - 2), (-2, 2**63 - 2)],
)
def test_any_integer_of_64_bits_is_a_seed_and_minus_one_is_random(sent, seed):
    assert check_chat({"messages": MESSAGES, "seed": sent}).sampling.seed == seed


@pytest.mark.parametrize("names", [["max_tokens"], ["max_completion_tokens"], ["max_tokens", "max_completion_tokens"]])
def test_minus_one_token_is_the_services_default(names):
    assert check_chat({"messages": MESSAGES, **dict.fromkeys(names, -1)}).sampling.max_tokens is None


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 1, "logprobs": False, "tool_choice": "none", "response_format": {"type": "text"}, "modalities": ["text"]},
        {"frequency_penalty": 0, "presence_penalty": 0.0, "store": False, "service_tier": "auto"},
        {"reasoning_effort": "none"},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"logprobs": False, "top_logprobs": 0},
        dict.fromkeys(("tools", "functions", "audio", "stop", "seed", "temperature", "top_p", "max_tokens", "stream")),
        {"messages": [{"role": "assistant", "content": "a", "refusal": None, "tool_calls": None}, *MESSAGES]},
    ],
    ids=["neutral", "zeros", "no-reasoning", "stream", "no-logprobs", "nulls", "an-answer-sent-back"],
)
@pytest.mark.parametrize("strict", [False, True], ids=["tolerant", "strict"])
def test_what_pheye_does_anyway_is_taken_without_a_word(fields, strict):
    asked = check_chat({"messages": MESSAGES, **fields}, strict=strict)
    assert asked.messages[-1].text == "Why?"
    assert asked.ignored == []


@pytest.mark.parametrize(
    "fields",
    [
        {"user": "me", "metadata": {"a": "b"}, "safety_identifier": "x", "prompt_cache_key": "y"},
        {"parallel_tool_calls": True, "stream": True, "stream_options": {"include_obfuscation": False}},
    ],
    ids=["labels", "hints"],
)
def test_a_hint_is_taken_even_if_nothing_else_is(fields):
    assert check_chat({"messages": MESSAGES, **fields}, strict=True).ignored


HISTORY = [
    {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
    {"role": "assistant", "content": None, "id": "msg_1", "reasoning_content": "b", "audio": {"id": "c"}},
    {"role": "assistant", "content": "d", "annotations": [], "tool_calls": []},
]
ORIGINAL = {"type": "image_url", "image_url": {"url": "data:a", "detail": "original"}, "prompt_cache_breakpoint": {}}


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        ({"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1}, ["min_p", "repetition_penalty", "top_k"]),
        ({"verbosity": "low", "reasoning_effort": "low"}, ["reasoning_effort", "verbosity"]),
        ({"reasoning": False, "prompt_cache_retention": "24h"}, ["prompt_cache_retention", "reasoning"]),
        ({"tools": [], "functions": [], "logit_bias": {}, "stop": ""}, ["functions", "logit_bias", "stop", "tools"]),
        ({"tools": [TOOL], "tool_choice": "none"}, ["tools"]),
        ({"frequency_penalty": 0.1, "presence_penalty": -1, "store": True, "prediction": {}},
         ["frequency_penalty", "prediction", "presence_penalty", "store"]),
        ({"service_tier": "scale", "stream_options": {"include_usage": True}}, ["service_tier", "stream_options"]),
        ({"temprature": 1, "a.b": {"c": [1]}, "nothing": None}, ["a.b", "temprature"]),
        ({"messages": [*HISTORY, *MESSAGES]},
         ["messages[].annotations", "messages[].audio", "messages[].content[].cache_control", "messages[].id",
          "messages[].reasoning_content", "messages[].tool_calls"]),
        ({"messages": [{"role": "user", "content": [ORIGINAL], "name": "Ada"}]},
         ["messages[].content[].image_url.detail", "messages[].content[].prompt_cache_breakpoint", "messages[].name"]),
    ],
    ids=["samplers", "efforts", "others", "empty", "no-choice", "nuances", "tier", "unknown", "history", "image"],
)  # fmt: skip
def test_what_has_no_effect_is_named_and_only_strictness_refuses_it(fields, paths):
    assert ignored(fields) == paths
    with pytest.raises(InvalidField) as caught:
        check_chat({"messages": MESSAGES, **fields}, strict=True)
    assert caught.value.detail.partition(":")[0] in paths


def test_strictness_helps_with_a_misspelt_field():
    with pytest.raises(InvalidField, match=r"^temprature: unknown field; did you mean temperature\?$"):
        check_chat({"messages": MESSAGES, "temprature": 1}, strict=True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2), ("tools", [TOOL]), ("tool_choice", "required"), ("functions", [{"name": "f"}]),
        ("moderation", {"model": "a"}),
        ("response_format", {"type": "json_object"}), ("modalities", ["text", "audio"]), ("audio", {}),
        ("logit_bias", {"1": 2}), ("web_search_options", {}), ("function_call", "auto!"),
        *((form, "a") for form in FORMS),
    ],
)  # fmt: skip
def test_what_pheye_cannot_do_is_refused_by_the_fields_name(field, value):
    with pytest.raises(UnsupportedParameter) as caught:
        check_chat({"messages": MESSAGES, field: value})
    assert caught.value.detail.startswith(field)
    assert " only" in caught.value.detail


@pytest.mark.parametrize(
    ("field", "value"), [("tool_calls", [TOOL]), ("function_call", {"name": "f", "arguments": "{}"})]
)
def test_a_turn_that_called_a_tool_is_refused_where_it_stands(field, value):
    turns = [*MESSAGES, {"role": "assistant", "content": None, field: value}, *MESSAGES]
    with pytest.raises(UnsupportedParameter, match=rf"^messages\[1\]\.{field}: must be empty or null"):
        check_chat({"messages": turns})


PART = {"type": "input_audio", "input_audio": {"data": "QUJD" * 5000}}
FILE = {"type": "input_image", "file_id": "file-QUJD"}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({"messages": []}, "messages: ", id="no-messages"),
        pytest.param({"messages": MESSAGES * 257}, "messages: ", id="too-many"),
        pytest.param({"messages": [{"role": "tool", "content": "a"}]}, "messages[0].role: ", id="tool"),
        pytest.param({"messages": [{"role": "user", "content": 5}]}, "messages[0].content: must be a", id="content"),
        pytest.param({"messages": [{"role": "user", "content": None}]}, "messages[0].content: must be a", id="null"),
        pytest.param({"messages": [{"role": "user"}]}, "messages[0].content: must be a", id="absent"),
        pytest.param({"messages": [{"role": "user", "content": []}]}, "messages[0].content: ", id="no-parts"),
        pytest.param({"messages": [{"role": "user", "content": [PART]}]}, "messages[0].content[0]: only", id="audio"),
        pytest.param({"messages": [{"role": "user", "content": [FILE]}]}, "messages[0].content[0].image_url", id="id"),
        pytest.param({"messages": [{"role": "user", "content": "a" * 16385}]}, "messages[0].content: ", id="long"),
        pytest.param({"temperature": 2.1}, "temperature: ", id="hot"),
        pytest.param({"max_tokens": 0}, "max_tokens: ", id="no-tokens"),
        pytest.param({"max_tokens": -2}, "max_tokens: ", id="fewer-tokens"),
        pytest.param({"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens: the former name", id="both"),
        pytest.param({"seed": 2**64}, "seed: ", id="65-bits"),
        pytest.param({"seed": -(2**63) - 1}, "seed: ", id="65-bits-below"),
        pytest.param({"stop": ["a"] * 5}, "stop: ", id="five-stops"),
        pytest.param({"stop": 5}, "stop: ", id="number-for-stop"),
        pytest.param({"logprobs": True, "top_logprobs": 21}, "top_logprobs: ", id="21-alternatives"),
        pytest.param({"logprobs": True, "top_logprobs": -1}, "top_logprobs: ", id="less-than-none"),
        pytest.param({"top_logprobs": 2}, "top_logprobs: only with logprobs", id="alternatives-alone"),
        pytest.param({"logprobs": 1}, "logprobs: ", id="number-for-boolean"),
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
