"""The load test reads words as `pheye` does: the same help, the same errors, the same exit codes."""

from __future__ import annotations

import re
import sys

import pytest
from typer.testing import CliRunner

from loadtest import storm
from loadtest.options import parse
from loadtest.parser import Parser, current_names
from service.cli.main import app

SERVER = "--server=http://127.0.0.1:8000"
ERROR = re.compile(r"Usage: (?P<prog>[\w .-]+) \[OPTIONS\].*\nTry '(?P=prog) -h' for help\.\n\nError: (?P<said>.+)\n")


def ended(*words: str) -> int:
    with pytest.raises(SystemExit) as caught:
        parse(words)
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.mark.parametrize("words", [[], ["run"], ["sweep"], ["compare"], ["capacity"]], ids=lambda words: "".join(words))
def test_h_is_help_everywhere(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(*words, "-h") == 0
    short = capsys.readouterr().out
    assert ended(*words, "--help") == 0
    assert capsys.readouterr().out == short
    assert short.startswith(" ".join(["Usage: python -m loadtest", *words, "[OPTIONS]"]))
    assert re.search(r"\n  -h, --help +Show this message and exit\.\n", short)


def test_the_help_of_both_has_the_same_parts(capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = (
        re.findall(r"^(?:Usage|[A-Z]\w+):", text, re.MULTILINE) for text in (_help(capsys), _pheye("-h")[1])
    )
    assert ours == theirs == ["Usage:", "Options:", "Commands:"]


def _help(capsys: pytest.CaptureFixture[str]) -> str:
    ended("-h")
    return capsys.readouterr().out


def _pheye(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, words, prog_name="pheye")
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", SERVER, "--clients", "0"], "Invalid value for '--clients': '0' is not a whole number from 1 up"),
        (["run", SERVER, "--client", "2"], "unrecognized arguments: --client 2"),
        (["run"], "Missing --server."),
    ],
    ids=["a value out of bounds", "an option that is not there", "an option that is missing"],
)
def test_an_error_looks_as_one_of_pheye_does(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, theirs = _pheye("dev", "bench", "--threads", "-1")
    assert ended(*words) == code == 2
    ours = ERROR.fullmatch(capsys.readouterr().err)
    assert ours
    assert ours["said"] == said
    assert ERROR.fullmatch(theirs)


def test_without_a_word_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = _pheye()
    assert ended() == code == 2
    assert "\nCommands:\n  run  " in capsys.readouterr().err


def test_an_old_option_is_understood_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--out", "there"], ["--out=there"]):
        assert str(parse(["run", SERVER, *words]).report) == "there"
        told = capsys.readouterr().err
        assert told == "loadtest: --out is now --report; the next version will not know it\n"
    assert current_names(["--report", "out"]) == ["--report", "out"]
    assert capsys.readouterr().err == ""


def test_a_text_that_is_too_long_for_a_line_goes_on_in_its_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    small = Parser("small", "Small.")
    small.option("--colour", "Which of the many colours there are it has.", default="red", metavar="NAME")
    small.option("--with-a-name-that-is-long", "What?", metavar="SOMETHING")
    small.argument("file", several=True)
    assert small.format_help().splitlines() == [
        "Usage: small [OPTIONS] FILE...",
        "",
        "  Small.",
        "",
        "Options:",
        "  --colour NAME  Which of the many colours there",
        "                 are it has.  [default: red]",
        "  --with-a-name-that-is-long SOMETHING",
        "                 What?",
        "  -h, --help     Show this message and exit.",
    ]


def test_the_storm_has_it_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["storm"])
    with pytest.raises(SystemExit) as caught:
        storm.main()
    assert caught.value.code == 2
    found = ERROR.fullmatch(capsys.readouterr().err)
    assert found
    assert found["prog"] == "python -m loadtest.storm"


def test_help_is_shown_on_a_terminal_narrower_than_its_first_column(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert ended("run", "-h") == 0
    assert "-h, --help" in capsys.readouterr().out
