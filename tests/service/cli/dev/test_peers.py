"""`pheye dev bench --peers`: a tiny model beside llama.cpp and OpenVINO, and words where that cannot be."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from model.bench.peers import extra
from service.cli.main import app

MICRO = ("--model", "random:pheye-micro", "--threads", "1", "--repeats", "1", "--prompt-tokens", "16")
needs_peers = pytest.mark.skipif(
    not all(find_spec(name) for names in extra.PACKAGES.values() for name in names), reason="needs the extra `peers`"
)


def peers(*words: str) -> Any:
    return CliRunner().invoke(app, ["dev", "bench", "--peers", *words])


@needs_peers
@pytest.mark.filterwarnings("ignore:builtin type .* has no __module__ attribute:DeprecationWarning")  # SWIG's
def test_both_sides_are_timed_printed_and_written(tmp_path: Path) -> None:
    done = peers(*MICRO, "--rows", "1,2", "--report", str(tmp_path))
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "peers.json").read_text())
    assert [(each["label"], each["work"]["form"]) for each in told["results"]] == [
        ("decode step, 1 row, int8", "Q8_0"),
        ("decode step, 2 rows, int8", "Q8_0"),
        ("prompt of 16 tokens, int8", "Q8_0"),
        ("decode step, 1 row, int4", "Q4_0"),
        ("decode step, 2 rows, int4", "Q4_0"),
        ("prompt of 16 tokens, int4", "Q4_0"),
        ("vision tower, 5 tiles, float32", "float32"),
        ("vision tower, 5 tiles, bfloat16", "bfloat16"),
        ("vision tower, 5 tiles, int8", ""),
    ]
    *_, exact, rounded, alone = told["results"]
    assert exact["agreement"] > 0.9999, "OpenVINO's graph is our tower"
    assert rounded["agreement"] > 0.99
    assert alone["race"] is None
    assert set(told["versions"]) == {"gguf", "openvino", "xllamacpp"}
    assert "who is ahead" in done.stdout
    assert "| vision tower, 5 tiles, int8 |" in (tmp_path / "peers.md").read_text()


def test_without_the_packages_the_way_to_get_them_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extra, "PACKAGES", {extra.LLAMA: ("absent-one",), extra.OPENVINO: ("absent-two",)})
    done = peers(*MICRO)
    assert done.exit_code == 2
    assert "absent-one, absent-two, which --peers compares with, are not installed; install the extra" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--quick",), "--quick: does not go with --peers"),
        (("--device", "cuda"), "--device: does not go with --peers"),
        (("--only", "caption"), "--only: with --peers 'caption' is not one of decode, prefill, encode"),
        (("--only", "decode", "--dtype", "float32"), "--dtype: nothing that --only names is compared in these formats"),
        (("--model", "random:pheye-micro", "--model", "random:pheye-tiny"), "--peers compares one model in a run"),
        (("--model", "random:nothing", "--only", "encode", "--dtype", "int8"), "there is no geometry 'nothing'"),
        (("--prompt-tokens", "5000", "--dtype", "int8"), "--prompt-tokens"),
    ],
    ids=["quick", "device", "only", "nothing to compare", "two models", "no such model", "too long"],
)
def test_what_cannot_be_compared_is_refused(words: tuple[str, ...], said: str) -> None:
    done = peers(*words)
    assert done.exit_code == 2
    assert said in done.stderr
