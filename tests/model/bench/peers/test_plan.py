"""What is compared, when nothing and when something is chosen; and what is said where a peer is missing."""

from __future__ import annotations

import pytest

from model.bench.peers import extra
from model.bench.peers.extra import LLAMA, OPENVINO, PeersMissing, peer_versions
from model.bench.peers.plan import PeerWork, plan_peers


def named(*work: PeerWork) -> list[str]:
    return [f"{each.kind} {each.rows} {each.dtype} {each.against}".strip() for each in work]


def test_everything_is_planned_where_nothing_is_chosen() -> None:
    assert named(*plan_peers()) == [
        "decode 1 int8 llama.cpp Q8_0",
        "decode 4 int8 llama.cpp Q8_0",
        "decode 8 int8 llama.cpp Q8_0",
        "prefill 1 int8 llama.cpp Q8_0",
        "decode 1 int4 llama.cpp Q4_0",
        "decode 4 int4 llama.cpp Q4_0",
        "decode 8 int4 llama.cpp Q4_0",
        "prefill 1 int4 llama.cpp Q4_0",
        "encode 1 float32 OpenVINO float32",
        "encode 1 bfloat16 OpenVINO bfloat16",
        "encode 1 int8",
    ]


def test_only_what_is_chosen_is_planned() -> None:
    assert named(*plan_peers(rows=(2,), only=("decode",))) == [
        "decode 2 int8 llama.cpp Q8_0",
        "decode 2 int4 llama.cpp Q4_0",
    ]
    assert named(*plan_peers(dtypes=("bfloat16",))) == ["encode 1 bfloat16 OpenVINO bfloat16"]
    assert plan_peers(only=("decode",), dtypes=("float32",)) == ()


def test_a_missing_package_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = {LLAMA: ("absent-one",), OPENVINO: ("absent-two", "torch")}
    monkeypatch.setattr(extra, "PACKAGES", absent)
    assert peer_versions([]) == {}
    with pytest.raises(PeersMissing, match=r'absent-one, absent-two, which .* are not installed; .*"\.\[peers\]"'):
        peer_versions([LLAMA, OPENVINO])
