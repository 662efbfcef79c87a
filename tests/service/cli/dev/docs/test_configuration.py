"""The tables of settings: every setting once, in a group; a few by name."""

from __future__ import annotations

import pytest

from service.cli.dev.docs import configuration
from service.configuration.rows import NO_FLAG
from service.configuration.settings import Settings


def line_start(name: str) -> str:
    flag = "" if name in NO_FLAG else f"`--{name.replace('_', '-')}`"
    return f"\n| `PHEYE_{name.upper()}` | {flag} |"


def test_every_setting_has_a_line_below_the_heading_of_its_group() -> None:
    made = configuration.settings(())
    for name in Settings.model_fields:
        assert made.count(line_start(name)) == 1
    assert made.count("\n| Variable |") == len(configuration.GROUPS)
    for title in configuration.GROUPS:
        assert f"## {title}\n" in made


def test_settings_by_name_are_one_table_in_the_order_asked_for() -> None:
    made = configuration.settings(("slots", "model"))
    assert made.count("\n") == 3
    assert made.index(line_start("slots")) < made.index(line_start("model"))


def test_an_unknown_name_is_named() -> None:
    with pytest.raises(ValueError, match="no such setting: poems"):
        configuration.settings(("slots", "poems"))


@pytest.mark.parametrize(
    "groups",
    [{**configuration.GROUPS, "Log": ()}, {**configuration.GROUPS, "More": ("log_level",)}],
    ids=["in no group", "in two groups"],
)
def test_a_setting_belongs_to_exactly_one_group(groups, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "GROUPS", groups)
    with pytest.raises(ValueError, match="log_level"):
        configuration.settings(())
