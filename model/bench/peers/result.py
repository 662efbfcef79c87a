"""Results of a comparison with peers, and their table: the same cells for the terminal and for Markdown. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from model.bench.machine import Machine
from model.bench.peers.plan import DECODE, ENCODE, PeerWork
from model.bench.table import duration, machine
from model.bench.timing import Race, Spread

SCHEMA_VERSION = 1
US, NEITHER = "we", "neither"
HEAD = ("work", "we", "the peer", "ratio", "who is ahead")
NOTE = (
    "Medians of turns, the quietest of those taken; the ratio is the peer's time over ours with its quartiles, and "
    "neither is ahead where they lie on both sides of 1. llama.cpp has a Phi of as many layers as hold the weights "
    "that our decode step reads, and no image: our steps read its keys and values besides, and our prefill makes "
    "them. OpenVINO encodes all tiles of an image with one set of weights, given normalised pixels; ours normalises "
    "them."
)


@dataclass(frozen=True, slots=True)
class PeerResult:
    """Seconds of both sides for one work, and how quiet the machine was.

    Attributes:
        work: what was done, and with whom.
        size: tokens of the prompt, or tiles of the image.
        ours_s: of one step, prompt or image.
        race: the peer as the baseline; None without a peer.
        agreement: least cosine between both sides' features, where they have the same weights.
        others_cores: cores that other processes used meanwhile, where the system tells.
    """

    work: PeerWork
    size: int
    ours_s: Spread
    race: Race | None
    agreement: float | None = None
    others_cores: float | None = None

    @property
    def leader(self) -> str | None:
        """The side that is ahead; None without a peer."""
        if self.race is None:
            return None
        if self.race.ratio.low > 1:
            return US
        return self.work.peer if self.race.ratio.high < 1 else NEITHER

    @property
    def label(self) -> str:
        """Description of the work in words."""
        work = self.work
        if work.kind == DECODE:
            words = f"decode step, {work.rows} row{'s' * (work.rows > 1)}"
        elif work.kind == ENCODE:
            words = f"vision tower, {self.size} tiles"
        else:
            words = f"prompt of {self.size} tokens"
        return f"{words}, {work.dtype}"

    def as_json(self) -> dict[str, Any]:
        """Return the fields and who is ahead."""
        return asdict(self) | {"label": self.label, "leader": self.leader}


@dataclass(frozen=True, slots=True)
class PeerReport:
    """Results of a whole comparison.

    Attributes:
        model: name of the geometry.
        layers: of the Phi that stands for our decoder at llama.cpp.
        repeats: pairs of turns.
        versions: of the peers' packages.
        compiled_for: processor features that llama.cpp uses, if it took part.
    """

    model: str
    layers: int
    repeats: int
    machine: Machine
    commit: str
    versions: Mapping[str, str]
    compiled_for: str
    results: tuple[PeerResult, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return asdict(self) | {
            "schema_version": SCHEMA_VERSION,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": dict(self.versions),
            "results": [each.as_json() for each in self.results],
        }


def peer_cells(result: PeerResult) -> tuple[str, ...]:
    """Return the cells of one result, as `HEAD` names them."""
    ours = duration(result.ours_s.median)
    if result.race is None:
        return (result.label, ours, "", "", "")
    race = result.race
    factor = max(race.ratio.median, 1 / race.ratio.median)
    ahead = NEITHER if result.leader == NEITHER else f"{result.leader}, {factor:.2f}x"
    ratio = f"{race.ratio.median:.2f}x ({race.ratio.low:.2f}-{race.ratio.high:.2f})"
    return (result.label, ours, f"{result.work.against}: {duration(race.baseline_s.median)}", ratio, ahead)


def peer_markdown(report: PeerReport) -> str:
    """Format the whole report as a Markdown file."""
    lines = ["# pheye dev bench --peers", "", *peer_heading(report), ""]
    lines += list(_table(map(peer_cells, report.results)))
    return "\n".join([*lines, "", NOTE, "", *(f"- {note}" for note in peer_notes(report))]) + "\n"


def peer_heading(report: PeerReport) -> list[str]:
    """Return the lines above the table: where, and what."""
    packages = ", ".join(f"{name} {version}" for name, version in report.versions.items()) or "no peer"
    return [
        machine(report.machine),
        f"{report.model}; {report.repeats} turns each; {packages}; commit {report.commit}.",
    ]


def peer_notes(report: PeerReport) -> list[str]:
    """Return lines about what the table does not say."""
    notes = []
    if report.compiled_for:
        notes.append(f"llama.cpp: {report.layers} layers, compiled for {report.compiled_for}")
    for each in report.results:
        if each.agreement is not None:
            notes.append(f"{each.label}: features agree to a cosine of {each.agreement:.4f}")
    used = [each.others_cores for each in report.results if each.others_cores is not None]
    if used:
        notes.append(f"other processes used {min(used):.2f} to {max(used):.2f} cores meanwhile")
    return notes


def _table(body: Iterable[Sequence[str]]) -> Iterable[str]:
    for line in (HEAD, ["---"] * len(HEAD), *body):
        yield "| " + " | ".join(line) + " |"
