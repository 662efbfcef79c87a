"""Settings under their old names, as flags and as variables: understood, with a warning that says what to type now."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from service.cli.options.dataclass_options import options
from service.cli.options.flags import read_settings, setting_flags
from service.configuration.settings import RENAMED_SETTINGS, Settings

FLAG = "pheye: --queue-size is now --max-waiting; the next version will not know it\n"
VARIABLE = "pheye: PHEYE_QUEUE_SIZE is now PHEYE_MAX_WAITING; the next version will not know it\n"


@pytest.fixture(autouse=True)
def one_renamed_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RENAMED_SETTINGS, "queue_size", "max_waiting")  # type: ignore[arg-type]


def read(*words: str, **environment: str) -> tuple[Any, list[Settings]]:
    app, found = typer.Typer(), list[Settings]()

    @app.command()
    @options(setting_flags("max_waiting", "slots"))
    def serve(**flags: str | None) -> None:
        found.append(read_settings(flags))

    return CliRunner().invoke(app, words, env=environment), found


@pytest.mark.parametrize(
    ("words", "environment", "value", "warning"),
    [
        (["--max-waiting", "5"], {}, 5, ""),
        (["--queue-size", "6"], {}, 6, FLAG),
        (["--queue-size", "6", "--max-waiting", "5"], {}, 5, FLAG),
        ([], {"PHEYE_QUEUE_SIZE": "7"}, 7, VARIABLE),
        ([], {"pheye_queue_size": "7"}, 7, VARIABLE.replace("PHEYE_QUEUE_SIZE", "pheye_queue_size")),
        ([], {"PHEYE_QUEUE_SIZE": "7", "PHEYE_MAX_WAITING": "8"}, 8, VARIABLE),
        (["--queue-size", "6"], {"PHEYE_MAX_WAITING": "8"}, 6, FLAG),
        (["--queue-size", "6"], {"PHEYE_QUEUE_SIZE": "7"}, 6, FLAG + VARIABLE),
        (["--max-waiting", "5"], {"PHEYE_QUEUE_SIZE": "7"}, 5, VARIABLE),
        (["--slots", "2"], {}, 64, ""),
    ],
    ids=[
        "new flag", "old flag", "both flags", "old variable", "old variable in small letters", "both variables",
        "old flag over new variable", "old flag over old variable", "new flag over old variable", "another setting",
    ],
)  # fmt: skip
def test_an_old_name_is_understood_and_a_flag_wins_over_a_variable(
    words: list[str], environment: dict[str, str], value: int, warning: str
) -> None:
    result, (settings,) = read(*words, **environment)
    assert result.exit_code == 0
    assert settings.max_waiting == value
    assert result.stderr == warning


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        (["--queue-size", "0"], {}, FLAG + "pheye: --max-waiting (or PHEYE_MAX_WAITING): "),
        ([], {"PHEYE_QUEUE_SIZE": "many"}, VARIABLE + "pheye: PHEYE_MAX_WAITING: "),
        ([], {"PHEYE_QUEUE_SIZ": "7"}, "pheye: PHEYE_QUEUE_SIZ: there is no such setting"),
    ],
    ids=["flag", "variable", "a name that never was"],
)
def test_a_mistake_under_an_old_name_is_told_by_the_new_one(
    words: list[str], environment: dict[str, str], said: str
) -> None:
    result, found = read(*words, **environment)
    assert result.exit_code == 2
    assert result.stderr.startswith(said)
    assert not found


def test_help_shows_the_new_name_only() -> None:
    shown = read("--help")[0].stdout
    assert "--max-waiting" in shown
    assert "--queue-size" not in shown
