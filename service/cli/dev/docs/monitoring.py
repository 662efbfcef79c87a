"""Tables of monitoring for the documentation: metrics, alert rules, the dashboard's panels.

Reads `docker/` below the repository's root; knows nothing of Prometheus or Grafana but these files. Main thread.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from service.cli.dev.docs.markdown import code, code_list, table
from service.metrics.service_metrics import metric_rows

WIDTH = 120
RULE_FILES = ("alerts.yml", "slo.yml")
_TEMPLATES = {
    r"{{ with \$labels\.(\w+) }}.*?{{ end }}": r"*\1*",
    r"{{ \$labels\.(\w+) }}": r"*\1*",
    r"{{ \$value[^}]*}}": "*value*",
}


def metrics(_: Sequence[str] = ()) -> str:
    """Write a table of every metric."""
    rows = [(code(row.name), row.type, code_list(row.labels), row.help) for row in metric_rows()]
    return table(("Metric", "Type", "Labels", "Meaning"), rows)


def alerts(root: Path) -> str:
    """Write a section for each alert: when it fires, and what to do first."""
    return "\n\n".join(_alert(rule) for rule in _rules(root) if "alert" in rule)


def recorded(root: Path) -> str:
    """Write a table of the recording rules, one line for each ratio with the windows that it has."""
    windows: dict[str, list[str]] = {}
    expressions = dict[str, str]()
    for rule in _rules(root):
        if "record" in rule:
            name, window = re.fullmatch(r"(.+?)(\d+[mhd])", rule["record"]).groups()  # type: ignore[union-attr]
            windows.setdefault(name, []).append(window)
            expressions[name] = " ".join(rule["expr"].replace(f"[{window}]", "[WINDOW]").split())
    rows = [(code(f"{name}WINDOW"), ", ".join(told), code(expressions[name])) for name, told in windows.items()]
    return table(("Series", "Windows", "Expression"), rows)


def _rules(root: Path) -> Iterator[Mapping[str, Any]]:
    import yaml  # of the development tools, which only this needs

    for name in RULE_FILES:
        for group in yaml.safe_load((root / "docker" / name).read_text(encoding="utf-8"))["groups"]:
            yield from group["rules"]


def _alert(rule: Mapping[str, Any]) -> str:
    notes, lasting = rule["annotations"], f", for {rule['for']}" if "for" in rule else ""
    return "\n\n".join(
        [
            f"### {rule['alert']}",
            f"**{_words(notes['summary'])}.** Severity: {rule['labels']['severity']}. Fires when{lasting}:",
            f"```promql\n{rule['expr'].strip()}\n```",
            textwrap.fill(_words(notes["description"]), WIDTH, break_long_words=False, break_on_hyphens=False),
        ]
    )


def _words(text: str) -> str:
    """Replace an annotation's templates by what they stand for."""
    for pattern, name in _TEMPLATES.items():
        text = re.sub(pattern, name, text)
    return " ".join(text.split())


def dashboard(root: Path) -> str:
    """Write a table of panels for each row of the dashboard."""
    document = json.loads((root / "docker/grafana/dashboards/pheye.json").read_text(encoding="utf-8"))
    return "\n\n".join(
        f"### {title}\n\n{table(('Panel', 'What it shows'), panels)}" for title, panels in _rows(document["panels"])
    )


def _rows(panels: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    title, shown = "", list[tuple[str, str]]()
    for panel in panels:
        if panel["type"] == "row":
            if shown:
                yield title, shown
            title, shown = panel["title"], []
        else:
            shown.append((panel["title"], panel.get("description", "")))
    yield title, shown
