"""A made-up comparison with peers, for tests of what is told of one."""

from __future__ import annotations

from collections.abc import Sequence

from model.bench.peers.extra import LLAMA, OPENVINO
from model.bench.peers.plan import DECODE, ENCODE, PREFILL, PeerWork
from model.bench.peers.result import PeerReport, PeerResult
from model.bench.timing import Race, Spread
from tests.support.bench_results import MACHINE


def raced(work: PeerWork, size: int, peer_s: Sequence[float], ours_s: Sequence[float]) -> PeerResult:
    """Both sides with these seconds."""
    race = Race.of(peer_s, ours_s)
    return PeerResult(work, size, race.fast_s, race, others_cores=0.25)


def peer_report() -> PeerReport:
    """One row that we lead, one that the peer leads, one that nobody leads, and one without a peer."""
    results = (
        raced(PeerWork(DECODE, 1, "int8", LLAMA, "Q4_0"), 65, [0.02, 0.02, 0.02], [0.04, 0.04, 0.04]),
        raced(PeerWork(DECODE, 8, "int8", LLAMA, "Q8_0"), 65, [0.2, 0.3, 0.2], [0.1, 0.15, 0.1]),
        raced(PeerWork(PREFILL, 1, "int8", LLAMA, "Q8_0"), 65, [0.9, 1.0, 1.2], [1.0, 1.0, 1.0]),
        raced(PeerWork(ENCODE, 1, "float32", OPENVINO, "float32"), 5, [3.0, 3.0, 3.0], [2.0, 2.0, 2.0]),
        PeerResult(PeerWork(ENCODE, 1, "int8", None), 5, Spread.of([1.5]), None, others_cores=0.5),
    )
    versions = {"openvino": "2026.4.1", "xllamacpp": "2026.10"}
    return PeerReport("Pheye-x4-448", 29, 3, MACHINE, "0123abc", versions, "AVX2, FMA", results)
