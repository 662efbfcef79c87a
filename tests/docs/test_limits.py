"""The limits on the page about HTTP are those of the code."""

from __future__ import annotations

import re
from typing import Any

import pytest

from service.api.bodies.forms import MAX_FIELDS
from service.api.bodies.json_text import MAX_JSON_VALUES
from service.api.connections.framing import MAX_HEAD_BYTES
from service.api.openai.request import MAX_MESSAGES
from service.byte_units import MIB
from service.configuration.settings import Settings
from service.decoding.formats.picture_file import MAX_SIDE_PX
from service.fetching.urls import MAX_URL_CHARS
from service.schemas.requests import MAX_EXPLAINED, MAX_TEXT_CHARS, SamplingFields, VqaRequest
from tests.support.pages import PAGES

PAGE = PAGES["docs/http-api.md"]
SECTION = PAGE.partition("\n## Limits\n")[2].partition("\n## ")[0]
BOUNDS = {cells[1].strip(): cells[2] for line in SECTION.splitlines() if len(cells := line.split("|")) == 5}


def default(name: str) -> int:
    """The default of a setting that is a number."""
    return int(Settings.model_fields[name].default)


def longest(schema: dict[str, Any], field: str) -> int:
    """The most characters of each text in a field that is a list of them."""
    (length,) = set(re.findall(r"'maxLength': (\d+)", str(schema["properties"][field])))
    return int(length)


@pytest.mark.parametrize(
    ("what", "numbers"),
    {
        "body of a request": [default("max_body_bytes") // MIB],
        "image": [default("max_pixels") // 10**6, MAX_SIDE_PX],
        "questions of a request": [default("max_questions")],
        "a question": [MAX_TEXT_CHARS],
        "prompt and answer together": [default("context_tokens")],
        "a choice; all together": [longest(VqaRequest.model_json_schema(), "choices"), MAX_TEXT_CHARS],
        "`stop`": [longest(SamplingFields.model_json_schema(), "stop")],
        "address of an image": [MAX_URL_CHARS],
        "JSON": [MAX_JSON_VALUES],
        "a form": [MAX_FIELDS],
        "request line and headers, fields in the query string among them": [MAX_HEAD_BYTES >> 10],
        "time until the answer is complete": [default("deadline_s")],
    }.items(),
)
def test_a_limit_is_that_of_the_code(what: str, numbers: list[int]) -> None:
    told = {int(number.replace(",", "")) for number in re.findall(r"\b\d[\d,]*\b", BOUNDS[what])}
    assert set(numbers) <= told


def test_the_pages_tell_of_the_other_bounds_of_a_request() -> None:
    assert f"`PHEYE_DEFAULT_MAX_TOKENS` ({default('default_max_tokens')})" in SECTION
    assert f"up to {MAX_EXPLAINED:,} tokens" in PAGE
    assert f"1 to {MAX_MESSAGES} messages, of up to {MAX_TEXT_CHARS:,} characters" in PAGES["docs/clients.md"]
