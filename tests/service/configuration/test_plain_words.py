"""Plain words for what pydantic finds: whatever a field or setting is sent, its refusal is in ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from service.api.openai.request import ChatRequest, check_chat
from service.configuration.plain_words import plain_words
from service.configuration.settings import Settings, SettingsError, load_settings
from service.errors import InvalidField
from service.schemas.requests import CaptionRequest, EstimateRequest, SamplingFields, VqaRequest, check

THEIRS = re.compile(r"[Ii]nput should|should have|should match|should be|Field required|Value error|Unable to")
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 0.5, 10**30, 1e308, float("nan"), float("inf"), "", "x", "\x00", "1e999", "y" * 20_000,
    [], [None], [""], [1] * 40, ["a"] * 40, ["a", "b" * 2_000], {}, {"x": 1}, {"type": "x"}, [{"type": "x"}], [[]],
)  # fmt: skip


def refusal(work: Callable[[], object]) -> str:
    """The words in which something is refused; empty if it is not."""
    try:
        work()
    except (InvalidField, SettingsError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", [CaptionRequest, VqaRequest, EstimateRequest])
@pytest.mark.parametrize("strict", [True, False], ids=["json", "form"])
def test_no_field_of_a_request_is_refused_in_pydantics_words(kind, strict):
    fields = [{name: value} for name in kind.model_fields for value in ODD]
    fields += [{"settings": {name: value}} for name in SamplingFields.model_fields for value in ODD]
    refusals = [refusal(partial(check, kind, each, strict=strict)) for each in fields]
    assert len(list(filter(None, refusals))) > len(fields) / 2
    assert not [words for words in refusals if THEIRS.search(words)]


@pytest.mark.parametrize("name", ChatRequest.model_fields)
def test_no_field_of_a_chat_is_refused_in_pydantics_words(name):
    turns = [{"role": value, "content": "x"} for value in ODD] + [{"role": "user", "content": value} for value in ODD]
    parts = [{"type": "image_url", "image_url": value} for value in ODD] + [{"type": "text", "text": v} for v in ODD]
    odd = [*ODD, *([turn] for turn in turns), *([{"role": "user", "content": [part]}] for part in parts)]
    asked = {"messages": [{"role": "user", "content": "x"}]}
    refusals = [refusal(partial(check_chat, asked | {name: each})) for each in (odd if name == "messages" else ODD)]
    assert not [words for words in refusals if THEIRS.search(words)]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_no_setting_is_refused_in_pydantics_words(monkeypatch, name):
    for value in ("", "x", "-1", "0.0001", "1e30", "nan", "9" * 30, "9" * 5_000):
        monkeypatch.setenv(f"PHEYE_{name.upper()}", value)
        assert not THEIRS.search(refusal(load_settings)), value


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        ({"type": "greater_than_equal", "ctx": {"ge": 0.01}}, "must be at least 0.01"),
        ({"type": "less_than_equal", "ctx": {"le": 31_536_000.0}}, "must be at most 31536000"),
        ({"type": "string_too_short", "ctx": {"min_length": 1}}, "must not be empty"),
        ({"type": "too_short", "ctx": {"min_length": 2}}, "must have at least 2 entries"),
        ({"type": "value_error", "msg": "Value error, said by us", "ctx": {"error": ValueError()}}, "said by us"),
        ({"type": "never heard of", "msg": "as it is"}, "as it is"),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else None,
)
def test_bounds_are_said_as_people_write_them(problem, words):
    assert plain_words(problem) == words
