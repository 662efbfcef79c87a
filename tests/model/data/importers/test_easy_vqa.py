"""easy-VQA's training split as a manifest; its test split stays out of it."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import pytest

from model.data.importers.easy_vqa import EasyVqaError, training_lines, training_samples
from model.data.importers.importing import write_import
from model.data.manifest import read_manifest


def test_every_training_question_is_a_line_with_the_prompt_for_short_answers(tmp_path: Path) -> None:
    lines = list(training_lines())
    assert len(lines) == 38575
    assert len({line.image for line in lines}) == 4000
    assert all(line.instruction.endswith("\nAnswer the question using a single word or phrase") for line in lines)
    assert {line.response for line in lines} >= {"yes", "no", "circle", "teal"}
    assert all("/train/" in line.image for line in lines)
    report = write_import(islice(training_samples(), 100), tmp_path / "easy.jsonl")
    source = read_manifest(tmp_path / "easy.jsonl")
    assert (report.lines, report.images) == (100, len(source))
    assert source[0].image.size == (64, 64)


def test_without_the_package_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "easy_vqa", None)
    with pytest.raises(EasyVqaError, match=r"pip install 'pheye-service\[train\]'"):
        next(training_samples())
