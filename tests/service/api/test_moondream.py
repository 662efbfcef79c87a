"""What moondream's clients are told and what is set aside for them, without a server."""

from __future__ import annotations

import json

import pytest

from service.api.moondream import MAX_REASON_CHARS, failure_line, is_moondream, reason_phrase, set_aside
from service.errors import UnsupportedParameter
from service.schemas.requests import CaptionRequest, VqaRequest


@pytest.mark.parametrize("detail", ["a\r\nSet-Cookie: b", "\0\x1b[31m", "ü\ud800", "a" * 10_000], ids=repr)
def test_no_words_of_a_client_break_the_status_line(detail):
    reason = reason_phrase(detail, "30")
    assert len(reason) <= MAX_REASON_CHARS + len("; try again in 30 s")
    assert all(32 <= byte < 127 for byte in reason)
    assert reason.endswith(b"; try again in 30 s")


def test_when_to_come_back_is_said_once():
    assert reason_phrase("full; try again in 3 s", "3") == b"full; try again in 3 s"
    assert reason_phrase("full") == b"full"


@pytest.mark.parametrize("detail", ["5", "null", '{"a": 1}', "late"])
def test_a_failure_in_a_stream_is_never_json(detail):
    with pytest.raises(json.JSONDecodeError):
        json.loads(failure_line(detail))


@pytest.mark.parametrize(
    ("fields", "unknown"),
    [
        ({"question": "?"}, []),
        ({"question": "?", "reasoning": False, "variant": "a"}, ["reasoning", "variant"]),
        ({"question": "?", "spatial_refs": []}, ["spatial_refs"]),
        ({"question": "?", "settings": {"max_objects": 1, "top_p": 1.0}}, ["settings.max_objects"]),
        ({"question": "?", "settings": 5}, []),
    ],
)
def test_only_what_has_no_effect_is_set_aside(fields, unknown):
    kept, named = set_aside(VqaRequest, fields)
    assert named == unknown
    assert kept.keys() == fields.keys() - set(unknown)


def test_a_field_without_a_name_is_named_as_that():
    fields = {"question": "?", "": 1, "settings": {"": 1}}
    assert set_aside(VqaRequest, fields) == ({"question": "?", "settings": {}}, ["[no-name]", "settings.[no-name]"])


def test_what_would_change_the_answer_is_refused_as_that():
    with pytest.raises(UnsupportedParameter, match="spatial_refs: would change the answer, and is not offered"):
        set_aside(CaptionRequest, {"image_url": "a", "spatial_refs": [[0.5, 0.5]]})


@pytest.mark.parametrize(
    ("agent", "theirs"),
    [(b"moondream-python/2.6.1", True), (b"moondream-node/0.2.0", True), (b"a moondream-b", False), (b"", False)],
)  # fmt: skip
def test_their_mark_is_how_their_name_begins(agent, theirs):
    assert is_moondream({"type": "http", "headers": [(b"user-agent", agent)]}) == theirs
