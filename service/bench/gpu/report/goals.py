"""Goals of the fast path on a GPU, and whether a run reaches them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.bench.gpu.journal import ItemOutcome

DECODE_SHARE, ENCODE_SHARE, RATIO, OVERHEAD, FIRST_TOKEN_S = 0.70, 0.60, 30.0, 0.10, 0.015
_AT_32 = "32 clients, new images, whole answers"


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal in words; `met` is None if it was not measured."""

    name: str
    wanted: str
    found: str
    met: bool | None


def goals(outcomes: Sequence[ItemOutcome]) -> Iterator[Goal]:
    """List all goals, measured or not."""
    yield from _speeds(outcomes)
    done = {(each.part, each.item): each.data for each in outcomes if each.state == "done"}
    yield _ratio(done)
    yield _overhead(done)


def _speeds(outcomes: Sequence[ItemOutcome]) -> Iterator[Goal]:
    for part in dict.fromkeys(each.part for each in outcomes if each.part.startswith("speed ")):
        model = part.removeprefix("speed ")
        done = {each.item: each.data for each in outcomes if each.part == part and each.state == "done"}
        decoded = [data for item, data in done.items() if item.startswith("decode ")]
        best = {rows: max(d["share"] for d in decoded if d["rows"] == rows) for rows in {d["rows"] for d in decoded}}
        shares = ", ".join(f"{rows}: {100 * best[rows]:.0f}" for rows in sorted(best))
        met = min(best.values()) >= DECODE_SHARE if best else None
        yield Goal(f"{model} decode, % of memory roofline by rows", f">= {100 * DECODE_SHARE:.0f}", shares or "-", met)
        encoded = {data["images"]: data["share"] for item, data in done.items() if item.startswith("encode ")}
        shares = ", ".join(f"{images}: {100 * share:.0f}" for images, share in sorted(encoded.items()))
        met = max(encoded.values()) >= ENCODE_SHARE if encoded else None
        yield Goal(f"{model} vision, % of matrix rate by images", f">= {100 * ENCODE_SHARE:.0f}", shares or "-", met)
        first = [data["seconds"] for item, data in done.items() if item.startswith("first token")]
        found = f"{1e3 * min(first):.1f}" if first else "-"
        met = min(first) < FIRST_TOKEN_S if first else None
        yield Goal(f"{model} first token of a cached image, ms", f"< {1e3 * FIRST_TOKEN_S:.0f}", found, met)


def _ratio(done: Mapping[tuple[str, str], Mapping[str, Any]]) -> Goal:
    ours, theirs = done.get(("load", _AT_32)), done.get(("baseline", _AT_32))
    name = "captions/s over the naive server's, 32 clients"
    if not ours or not theirs or not theirs["answers_per_s"]:
        return Goal(name, f">= {RATIO:.0f}", "-", None)
    ratio = ours["answers_per_s"] / theirs["answers_per_s"]
    return Goal(name, f">= {RATIO:.0f}", f"{ratio:.1f}", ratio >= RATIO)


def _overhead(done: Mapping[tuple[str, str], Mapping[str, Any]]) -> Goal:
    ours, engine = (
        done.get(("load", "64 clients, known images, whole answers")),
        done.get(("engine", "64 known images")),
    )
    name = "API overhead at 64 clients, images known, %"
    if not ours or not engine or not engine["answers_per_s"]:
        return Goal(name, f"< {100 * OVERHEAD:.0f}", "-", None)
    share = 1 - ours["answers_per_s"] / engine["answers_per_s"]
    return Goal(name, f"< {100 * OVERHEAD:.0f}", f"{100 * share:.0f}", share < OVERHEAD)
