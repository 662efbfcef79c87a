"""Tables of the service under load: throughput and waits, the API's cost, a killed worker, a soak. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from service.bench.gpu.journal import ItemOutcome
from service.bench.gpu.report.markdown import table

Data = Mapping[str, Any]


def serving(outcomes: Sequence[ItemOutcome]) -> Iterator[str]:
    """Write a table for everything that was measured of the service."""
    done = [each for each in outcomes if each.state == "done"]
    yield from _loads([each for each in done if each.part in ("load", "baseline") and "answers_per_s" in each.data])
    yield from _lines(done)


def _loads(loads: Sequence[ItemOutcome]) -> list[str]:
    rows = [
        [
            ("naive server, " if each.part == "baseline" else "") + each.item,
            f"{each.data['answers_per_s']:.1f}",
            *(_ms(each.data.get("first_token_s"), name) for name in ("p50", "p99")),
            _ms(each.data.get("per_token_s"), "p50"),
            *(_ms(each.data.get("latency_s"), name) for name in ("p50", "p99")),
            _share(each.data.get("engine_s_per_answer"), each.data["answers_per_s"]),
            str(each.data["lost"]),
        ]
        for each in loads
    ]
    heads = ["captions", "per s", "TTFT p50 ms", "p99", "per token ms", "p50 ms", "p99 ms", "engine busy", "lost"]
    return table("The service under load", heads, rows)


def _ms(distribution: Data | None, name: str) -> str:
    return "" if not distribution else f"{1e3 * distribution[name]:.0f}"


def _share(engine_s: float | None, answers_per_s: float) -> str:
    """Return the share of the time for which the engine was in a step."""
    return "" if engine_s is None else f"{100 * engine_s * answers_per_s:.0f} %"


def _lines(done: Sequence[ItemOutcome]) -> Iterator[str]:
    lines = [
        *(_engine(each) for each in done if each.part == "engine"),
        *(_server(each) for each in done if each.item == "server"),
        *(_killed(each.data) for each in done if each.part == "kill" and "requests" in each.data),
        *(_soaked(each.data) for each in done if each.part == "soak" and "memory" in each.data),
    ]
    if lines:
        yield from ["\n## Engine, kill, soak", "", *(f"- {line}" for line in lines)]


def _engine(each: ItemOutcome) -> str:
    data = each.data
    seconds = ", ".join(f"{name} {data[f'{name}_s'] / data['seconds']:.0%}" for name in ("encode", "prefill", "decode"))
    return f"engine without HTTP, {each.item}: {data['answers_per_s']:.1f} answers/s ({seconds} of the time)"


def _server(each: ItemOutcome) -> str:
    return f"server for {each.part}: ready after {each.data['start_s']:.1f} s"


def _killed(data: Data) -> str:
    return (
        f"worker killed with {data['requests']} requests under way: {data['answered']} answered, {data['same_text']} "
        f"as in peace ({data['same_text_in_peace']} of {data['requests'] // 2} pairs agree in peace); ready again "
        f"after {data['ready_again_s']:.1f} s, last answer after {data['last_answer_s']:.1f} s"
    )


def _soaked(data: Data) -> str:
    held = "; ".join(
        f"{name} at most {memory['most_bytes'] / 1e6:.0f} MB, {memory['bytes_per_minute'] / 1e6:+.1f} MB/min"
        for name, memory in data["memory"].items()
    )
    return (
        f"soak: {data['seconds']:.0f} s at {data['rate_per_s']:g} requests/s, {data['answered']} of {data['requests']} "
        f"answered, {data['refused']} refused, {data['lost']} lost; {held}"
    )
