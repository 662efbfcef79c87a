"""Streaming JSON: its objects in little memory, and a refusal of what would take all of it."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from model.data import json_stream
from model.data.fields import DataError
from model.data.json_stream import MOST_DEPTH, stream_items, stream_list, stream_members, stream_text

DEEP = 20_001


def written(folder: Path, text: str) -> Path:
    file = folder / "d.json"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("text", ["[" * DEEP, '[{"a":' * DEEP, '{"a":' * DEEP], ids=["lists", "both", "objects"])
def test_json_too_deep_is_refused_before_it_takes_all_memory(tmp_path: Path, text: str) -> None:
    file = written(tmp_path, text)
    tracemalloc.start()
    for read in (stream_items, stream_list, stream_members, lambda file: iter(stream_text(file, "b"))):
        with pytest.raises(DataError, match=r"d\.json: .*deep in each other"):
            list(read(file))
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


@pytest.mark.parametrize("size", [1, 2, 3, 1 << 18])
def test_brackets_in_strings_are_not_deep_wherever_a_chunk_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(json_stream, "_BUFFER_BYTES", size)
    items = [{"a": '\\"[{' * 100, "[" * 200: [[{}], "\\"], "é": {"b": [1]}}] * 3
    assert [record.values for record in stream_items(written(tmp_path, json.dumps(items)))] == items
    with pytest.raises(DataError, match=f"more than {MOST_DEPTH} deep"):
        list(stream_items(written(tmp_path, f'[{{"a": {"[" * 210}{"]" * 210}}}]')))


def test_a_line_too_deep_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"d\.json: line 2: lists and objects too deep"):
        list(stream_items(written(tmp_path, '{"a": 1}\n{"a": ' + "[" * 5000 + "]" * 5000 + "}\n")))
