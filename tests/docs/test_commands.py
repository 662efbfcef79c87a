"""The commands of every page that are too long, too large or too far away to run: each is typed right, at least."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from functools import partial

import pytest
import yaml
from typer.main import get_command

from loadtest.options import parse
from service.cli.main import app
from tests.support.pages import PAGES, ROOT, Example, shell_commands

COMMANDS = list(shell_commands())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
OF_TYPER = {"-h", "--help", "--install-completion", "--show-completion"}


def check_pheye(words: Sequence[str]) -> None:
    """Parse a command as the console script would, without running it."""
    command, name = get_command(app), "pheye"
    while inner := getattr(command, "commands", None):
        name, *words = words
        assert name in inner, f"pheye has no command {name}"
        command = inner[name]
    command.make_context(name, list(words))


def check_make(words: Sequence[str]) -> None:
    target, *variables = words
    recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert recipe, f"there is no target {target}"
    arguments = dict(word.split("=", 1) for word in variables).get("ARGS", "")
    for line in re.findall(r"(?:\$\(BIN\)/pheye|-m service\.cli\.entry) (.*)", recipe[1]):
        check_pheye(shlex.split(re.sub(r"\$\((\w+)\)", partial(made_of, arguments), line)))


def made_of(arguments: str, variable: re.Match[str]) -> str:
    """Read the value of a variable of the Makefile."""
    found = re.search(rf"^{variable[1]} [?:]= (.*)$", MAKEFILE, re.MULTILINE)
    return arguments if variable[1] == "ARGS" or not found else found[1]


def check_torchrun(words: Sequence[str]) -> None:
    check_pheye(words[words.index(".venv/bin/pheye") + 1 :])


def check_python(words: Sequence[str]) -> None:
    flag, module, *rest = words
    assert flag == "-m"
    place = ROOT / module.replace(".", "/")
    if module == "loadtest":
        assert parse(rest).command
    else:
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file()


def check_llm(words: Sequence[str]) -> None:
    """Check an option at least; `tests/service/api/clients/test_scripts.py` runs it where it is installed."""
    assert {word for word in words if word.startswith("-")} <= {"-m", "-a"}


def check_docker(words: Sequence[str]) -> None:
    if words[:2] == ["compose", "up"]:
        assert set(words[2:]) <= COMPOSE.keys()
        return
    assert words[0] in ("build", "run")
    assert {service["image"] for service in COMPOSE.values()} & set(words)
    for argument in re.findall(r"--build-arg (\w+)=", " ".join(words)):
        assert f"ARG {argument}=" in DOCKERFILE


CHECKS = {
    "pheye": check_pheye, ".venv/bin/pheye": check_pheye, "make": check_make, ".venv/bin/torchrun": check_torchrun,
    "python": check_python, "docker": check_docker, "llm": check_llm,
}  # fmt: skip


@pytest.mark.parametrize("example", COMMANDS, ids=str)
def test_a_command_is_typed_right(example: Example) -> None:
    program, *words = shlex.split(re.split(r" [|<] ", example.text)[0])  # a pipe or a redirection is the shell's
    CHECKS[program](words)


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_a_command_named_in_a_sentence_exists(page: str) -> None:
    for typed in re.findall(r"`(?:\.venv/bin/)?pheye ([^`]+)`", " ".join(PAGES[page].split())):
        command, words = get_command(app), typed.split()
        while (inner := getattr(command, "commands", None)) and words and words[0][0].islower():
            assert words[0] in inner, typed
            command = inner[words.pop(0)]
        flags = {flag for parameter in command.params for flag in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= flags | OF_TYPER, typed


@pytest.mark.parametrize("target", re.findall(r"^([\w-]+):.*##", MAKEFILE, re.MULTILINE))
def test_what_a_target_of_make_runs_is_typed_right(target: str) -> None:
    check_make([target])


def test_a_target_of_make_named_in_a_sentence_exists() -> None:
    for page, text in PAGES.items():
        for target in re.findall(r"`make ([\w-]+)[^`]*`", text):
            assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), f"{page}: {target}"
