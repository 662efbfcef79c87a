"""The README's examples, run as they are printed: curl, Python, and the commands about images."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from tests.support.serving import Server, image_file, running_server

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
ADDRESS = "localhost:8000"
DEFAULT_MODEL = Settings.model_fields["model"].default


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


CURL = [
    command
    for block in blocks("bash")
    for command in (block.split("\n\n") if "<<" in block or "id=$(" in block else block.strip().splitlines())
]
PROGRAMS = blocks("python")
PHEYE = [
    line
    for block in blocks("sh")
    for line in block.splitlines()
    if re.match(r"\.venv/bin/pheye (caption|ask|info) ", line)
]


SHOWN = re.findall(r"^\$ (.+)\n((?:(?!\$ ).+\n)+)", "".join(blocks("console")), re.MULTILINE)


def numbered(examples: list[str]) -> list[str]:
    return [f"example {number}" for number in range(1, len(examples) + 1)]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server(model=DEFAULT_MODEL, default_max_tokens=16) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the examples take for granted."""
    for name in ("photo.jpg", "receipt.png", "holiday/beach.jpg", "holiday/hotel.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(image_file("PNG" if name.endswith("png") else "JPEG"))
    (tmp_path / "questions.txt").write_text("# of every photo\nWho is there?\n\nWhat is it?\n")
    return tmp_path


def run(folder: Path, *command: str, **variables: str) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(
        command, cwd=folder, env=os.environ | variables, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("command", CURL, ids=numbered(CURL))
def test_a_curl_example_of_the_readme_works_when_pasted(server: Server, folder: Path, command: str) -> None:
    assert ADDRESS in command
    pasted = command.replace(ADDRESS, server.url.removeprefix("http://")).replace("curl", "curl -sS --fail-with-body")
    said = run(folder, "bash", "-c", f"set -e\n{pasted}")
    if "stream=true" in command:
        events = [json.loads(line.removeprefix("data: ")) for line in said.splitlines() if line.startswith("data")]
        assert events[-1]["completed"] is True
    else:
        answer = json.loads(said)
        assert answer["model"] == httpx.get(f"{server.url}/v1").json()["model"]
        assert "/v1/estimate" in command or answer["finish_reason"] in ("stop", "length")


@pytest.mark.parametrize("program", PROGRAMS, ids=numbered(PROGRAMS))
def test_a_python_example_of_the_readme_works_when_pasted(server: Server, folder: Path, program: str) -> None:
    assert ADDRESS in program
    pasted = program.replace(ADDRESS, server.url.removeprefix("http://"))
    assert run(folder, sys.executable, "-c", pasted).strip()


@pytest.mark.parametrize("command", PHEYE, ids=numbered(PHEYE))
def test_a_command_of_the_readme_does_what_it_says(server: Server, folder: Path, command: str) -> None:
    words = command.partition("  # ")[0].replace(ADDRESS, server.url.removeprefix("http://"))
    pheye = Path(sys.executable).with_name("pheye")
    here = {} if "--server" in words else {"PHEYE_THREADS": "1", "PHEYE_DEFAULT_MAX_TOKENS": "16"}
    said = run(folder, "bash", "-c", words.replace(".venv/bin/pheye", str(pheye)), **here)
    if "--jsonl" in words:
        lines = (folder / "captions.jsonl").read_text(encoding="utf-8").splitlines()
        assert sorted(json.loads(line)["image"] for line in lines) == ["holiday/beach.jpg", "holiday/hotel.jpg"]
    else:
        assert said.strip()


@pytest.mark.parametrize(("command", "shown"), SHOWN, ids=[command for command, _ in SHOWN])
def test_what_the_readme_shows_of_the_default_model_is_what_it_says(command: str, shown: str) -> None:
    root = Path(__file__).parents[2]
    pasted = command.replace(".venv/bin/pheye", str(Path(sys.executable).with_name("pheye")))
    assert run(root, "bash", "-c", pasted, PHEYE_THREADS="1") == shown


def test_the_readme_has_examples_of_every_kind_of_request() -> None:
    for part in (
        "/v1/caption", "/v1/vqa", "questions=", "--data-binary", "image_url", "stream=true", "explain=true", "img_",
        "/v1/images/$id", "/v1/estimate", "import moondream", "from openai", "pheye caption", "--questions",
    ):  # fmt: skip
        assert any(part in example for example in CURL + PROGRAMS + PHEYE), part
    assert {"--server" in command for command in PHEYE} == {True, False}
    assert {command.split()[1] for command, _ in SHOWN} == {"caption", "ask"}


def test_the_answer_that_the_readme_shows_is_the_default_models(server: Server) -> None:
    assert f'"model": "{httpx.get(f"{server.url}/v1").json()["model"]}"' in README


def headings(text: str) -> set[str]:
    """Anchors of a Markdown file's headings."""
    return {
        re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }


def test_every_file_and_heading_the_readme_points_at_is_there() -> None:
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        name, _, heading = target.partition("#")
        file = Path(__file__).parents[2] / (name or "README.md")
        assert file.is_file(), target
        assert not heading or heading in headings(file.read_text(encoding="utf-8")), target
