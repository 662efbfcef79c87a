"""The header that names ignored fields: bounded and of plain characters, whatever a client sends."""

from __future__ import annotations

import pytest

from service.api.openai.ignored import MAX_HEADER_CHARS, header_value


def test_the_fields_are_sorted_and_each_is_named_once():
    assert header_value(["top_k", "min_p", "top_k", "messages[].name"]) == "messages[].name,min_p,top_k"
    assert header_value([]) == ""


@pytest.mark.parametrize("name", ["a\r\nSet-Cookie: b", "a,b", "ü", "\0", "a b", "\ud800", ""])
def test_a_made_up_name_cannot_add_a_header_or_a_field(name):
    value = header_value([name])
    assert value.isascii()
    assert not set(value) & set("\r\n\0, ")


def test_many_and_long_names_are_cut_between_two_of_them():
    value = header_value(f"{'a' * 1000}{index}" for index in range(100))
    assert len(value) <= MAX_HEADER_CHARS
    value = header_value(f"field_{index:04}" for index in range(500))
    assert len(value) <= MAX_HEADER_CHARS + len(",...")
    assert value.endswith(",...")
    assert all(len(name) == len("field_0000") for name in value.split(",")[:-1])
