"""The table of a comparison with peers: times, ratio and who is ahead, from times that are made up."""

from __future__ import annotations

import json

from model.bench.peers.result import HEAD, NOTE, peer_cells, peer_markdown
from tests.support.peer_results import peer_report


def test_each_line_tells_both_times_their_ratio_and_who_is_ahead() -> None:
    assert [peer_cells(each) for each in peer_report().results] == [
        ("decode step, 1 row, int8", "40 ms", "llama.cpp Q4_0: 20 ms", "0.50x (0.50-0.50)", "llama.cpp, 2.00x"),
        ("decode step, 8 rows, int8", "100 ms", "llama.cpp Q8_0: 200 ms", "2.00x (2.00-2.00)", "we, 2.00x"),
        ("prompt of 65 tokens, int8", "1 s", "llama.cpp Q8_0: 1 s", "1.00x (0.95-1.10)", "neither"),
        ("vision tower, 5 tiles, float32", "2 s", "OpenVINO float32: 3 s", "1.50x (1.50-1.50)", "we, 1.50x"),
        ("vision tower, 5 tiles, int8", "1.5 s", "", "", ""),
    ]


def test_markdown_tells_where_it_was_measured_and_how_quiet_that_was() -> None:
    lines = peer_markdown(peer_report()).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 5
    assert {line.count("|") for line in table} == {len(HEAD) + 1}
    for said in (
        "A Processor (avx2), 2 cores, 2 threads, 24 GB, torch 2.7.0.",
        "Pheye-x4-448; 3 turns each; openvino 2026.4.1, xllamacpp 2026.10; commit 0123abc.",
        "- llama.cpp: 29 layers, compiled for AVX2, FMA",
        "- other processes used 0.25 to 0.50 cores meanwhile",
        NOTE,
    ):
        assert said in lines


def test_json_has_every_result_with_its_leader() -> None:
    told = json.loads(json.dumps(peer_report().as_json()))
    assert [each["leader"] for each in told["results"]] == ["llama.cpp", "we", "neither", "we", None]
    assert (told["layers"], told["commit"], told["schema_version"]) == (29, "0123abc", 1)
