"""Plan of a comparison with peers: which work, in our number format and in theirs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from model.bench.peers.extra import LLAMA, OPENVINO
from model.bench.peers.phi_file import Q4_0, Q8_0

DECODE, PREFILL, ENCODE = "decode", "prefill", "encode"
KINDS = (DECODE, PREFILL, ENCODE)
ROWS = (1, 4, 8)
_LIKE: Mapping[str, str] = {"int8": Q8_0, "int4": Q4_0}  # our number formats of a decoder, and llama.cpp's
_TOWER_DTYPES = ("float32", "bfloat16", "int8")


@dataclass(frozen=True, slots=True)
class PeerWork:
    """Work that both sides do.

    Attributes:
        kind: `decode`, `prefill` or `encode`.
        rows: answers at once; images, for `encode`.
        dtype: our number format.
        peer: who else does it; None if nobody here does.
        form: the peer's number format.
    """

    kind: str
    rows: int
    dtype: str
    peer: str | None
    form: str = ""

    @property
    def against(self) -> str:
        """Name of the peer and its number format, empty without one."""
        return f"{self.peer} {self.form}" if self.peer else ""


def plan_peers(only: Sequence[str] = (), dtypes: Sequence[str] = (), rows: Sequence[int] = ()) -> tuple[PeerWork, ...]:
    """Plan the comparison; what is not given is not limited.

    Args:
        only: kinds of work.
        dtypes: our number formats.
        rows: of a decode step.
    """
    every = (*_decoder_work(rows or ROWS), *_tower_work())
    return tuple(work for work in every if (not only or work.kind in only) and (not dtypes or work.dtype in dtypes))


def _decoder_work(rows: Sequence[int]) -> Iterator[PeerWork]:
    for dtype, form in _LIKE.items():
        for count in rows:
            yield PeerWork(DECODE, count, dtype, LLAMA, form)
        yield PeerWork(PREFILL, 1, dtype, LLAMA, form)


def _tower_work() -> Iterator[PeerWork]:
    for dtype in _TOWER_DTYPES:
        if dtype == "int8":
            yield PeerWork(ENCODE, 1, dtype, None)
        else:
            yield PeerWork(ENCODE, 1, dtype, OPENVINO, dtype)
