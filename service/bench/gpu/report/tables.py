"""Tables of a GPU run: the machine, the goals, correctness, speed, and what was lost. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from service.bench.gpu.journal import ItemOutcome
from service.bench.gpu.report.goals import Goal, goals
from service.bench.gpu.report.markdown import table
from service.bench.gpu.report.serving import serving

Data = Mapping[str, Any]
COLUMNS = ((True, "projected"), (True, "absorbed"), (False, "projected"), (False, "absorbed"))


def markdown(head: Data, outcomes: Sequence[ItemOutcome]) -> str:
    """Write the whole report in Markdown."""
    told = [
        "# A run on a GPU",
        *_machine(head, outcomes),
        *_goals(list(goals(outcomes))),
        *_correctness([each for each in outcomes if each.part == "correctness"]),
        *_speeds(outcomes),
        *serving(outcomes),
        *_lost(outcomes),
        *_kernels([each for each in outcomes if each.part == "profile" and each.state == "done"]),
        *_products([each for each in outcomes if each.part == "products" and each.state == "done"]),
    ]
    return "\n".join(told) + "\n"


def _machine(head: Data, outcomes: Sequence[ItemOutcome]) -> list[str]:
    found = {each.item: each.data for each in outcomes if each.part == "machine" and each.state == "done"}
    card, lines = found.get("card", {}), []
    if card:
        versions = {key: value for key, value in card["versions"].items() if value}
        driver = card.get("nvidia_smi", {}).get("driver_version", "")
        memory = card.get("gpu_memory_bytes", card["memory_bytes"]) / 1e9
        lines.append(
            f"{card['accelerator'] or card['cpu']}, {memory:.0f} GB, driver {driver or '-'}, {card['cores']} cores; "
            + ", ".join(f"{name} {version}" for name, version in versions.items())
        )
    for dtype in ("bfloat16", "float32"):
        if rate := found.get(f"rates {dtype}"):
            lines.append(
                f"{dtype}: memory {rate['bytes_per_s'] / 1e12:.2f} TB/s, products {rate['flops_per_s'] / 1e12:.0f} "
                "TFLOP/s measured"
            )
    return ["", f"Commit {head['commit']}, {head['started']}, {head['seconds']:.0f} s on {head['device']}.", *lines]


def _goals(found: Sequence[Goal]) -> list[str]:
    rows = [[goal.name, goal.wanted, goal.found, {True: "met", False: "missed", None: "-"}[goal.met]] for goal in found]
    return table("Goals", ["goal", "wanted", "found", ""], rows)


def _correctness(outcomes: Sequence[ItemOutcome]) -> list[str]:
    groups: dict[str, list[ItemOutcome]] = {}
    for each in outcomes:
        groups.setdefault(each.item.split()[0].rstrip(","), []).append(each)
    words = ("passed", "failed", "not available", "crashed", "timed out", "not reached")
    rows = [
        [group, *(str([_says(each) for each in some].count(word)) for word in words)] for group, some in groups.items()
    ]
    bad = [each for each in outcomes if _says(each) not in ("passed", "not available", "not reached")]
    lines = [f"- {each.item}: {_says(each)}; {_detail(each)}" for each in bad]
    return table("Correctness", ["checks", *words], rows) + (["", *lines] if lines else [])


def _says(outcome: ItemOutcome) -> str:
    return str(outcome.data.get("verdict", outcome.state)) if outcome.state == "done" else outcome.state


def _detail(outcome: ItemOutcome) -> str:
    if outcome.state != "done":
        return outcome.why[:200]
    return ", ".join(f"{key} {_short(value)}" for key, value in outcome.data.items() if key != "verdict")


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _speeds(outcomes: Sequence[ItemOutcome]) -> Iterator[str]:
    for part in dict.fromkeys(each.part for each in outcomes if each.part.startswith("speed ")):
        done = {each.item: each.data for each in outcomes if each.part == part and each.state == "done"}
        yield from _decode(part.removeprefix("speed "), done)
        yield from _others(part.removeprefix("speed "), done)


def _decode(model: str, done: Mapping[str, Data]) -> list[str]:
    steps = [data for item, data in done.items() if item.startswith("decode ")]
    naive = {data["rows"]: data for item, data in done.items() if item.startswith("naive decode")}
    rows = []
    for count in sorted({data["rows"] for data in steps}):
        at = {(data["graphs"], data["attention"]): data for data in steps if data["rows"] == count}
        cells = [_timed(at.get(column)) for column in COLUMNS]
        twin = f"{1e3 * naive[count]['seconds']:.0f}" if count in naive else ""
        rows.append([str(count), *cells, twin])
    heads = [f"{'graphs' if graphs else 'eager'}, {attention}" for graphs, attention in COLUMNS]
    return table(f"{model}: a decode step, ms (share of the roofline)", ["rows", *heads, "naive"], rows)


def _timed(data: Data | None) -> str:
    if data is None:
        return ""
    share = f" ({100 * data['share']:.0f} %)" if "share" in data else ""
    return f"{1e3 * data['seconds']:.2f}{share}"


def _others(model: str, done: Mapping[str, Data]) -> list[str]:
    names = ("encode", "prefill", "first token", "naive encode")
    rows = [[item, _timed(data)] for item, data in done.items() if item.startswith(names)]
    return table(f"{model}: encode, prefill, first token, ms (share of the floor)", ["", "ms"], rows)


def _kernels(done: Sequence[ItemOutcome]) -> Iterator[str]:
    for each in done:
        rows = [[row["name"][:60], str(row["calls"]), f"{row['device_ms']:.3f}"] for row in each.data["kernels"][:6]]
        title = (
            f"{each.item}: {each.data['wall_ms']:.2f} ms, {each.data['launches']} kernels of "
            f"{each.data['device_ms']:.2f} ms"
        )
        yield from table(title, ["kernel", "calls", "ms"], rows)


def _products(done: Sequence[ItemOutcome]) -> list[str]:
    forms = ("library", "own", "own, split")
    rows = [
        [
            each.item,
            *(
                f"{each.data['microseconds'][form]:.1f} ({each.data['bytes_per_s'][form] / 1e12:.2f})"
                if form in each.data["microseconds"]
                else ""
                for form in forms
            ),
        ]
        for each in done
    ]
    return table("Linear layers of a decode step, microseconds (TB/s of weights)", ["layer, rows", *forms], rows)


def _lost(outcomes: Sequence[ItemOutcome]) -> list[str]:
    rows = [
        [each.part, each.item, each.state, each.why.replace("\n", " ").replace("|", "/")[:90]]
        for each in outcomes
        if each.state in ("failed", "crashed", "timed out")
    ]
    skipped: dict[str, int] = {}
    for each in outcomes:
        if each.state == "not reached":
            skipped[each.part] = skipped.get(each.part, 0) + 1
    rows += [
        [part, "1 item" if count == 1 else f"{count} items", "not reached", "there was too little time"]
        for part, count in skipped.items()
    ]
    return table("Failed, or not reached", ["part", "item", "", "why"], rows)
