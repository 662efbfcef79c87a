"""The examples of every page, run as they are printed: curl, Python, and the commands about images."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from service.cli.dev.docs.markdown import code_blocks
from service.cli.main import app
from service.configuration.client_policy import ClientPolicy
from service.configuration.key_files import read_key_file
from service.configuration.settings import Settings
from service.schemas.responses import CaptionAnswer
from tests.support.hostile_web import answer as answer_of
from tests.support.hostile_web import hostile_web
from tests.support.pages import PAGES, ROOT, Example, blocks, shell_commands
from tests.support.serving import Server, image_file, running_server

ADDRESSES = re.compile(r"localhost:8000|127\.0\.0\.1:8000")
DEFAULT_MODEL = Settings.model_fields["model"].default

CURL = [
    Example(block.page, command)
    for block in blocks("bash")
    for command in (
        block.text.split("\n\n") if "<<" in block.text or "id=$(" in block.text else block.text.strip().splitlines()
    )
]
PROGRAMS = list(blocks("python"))
PHEYE = [each for each in shell_commands() if re.match(r"\.venv/bin/pheye (caption|ask|info) ", each.text)]
LOADS = [each for each in shell_commands() if re.match(r"python -m loadtest(\.storm| run) ", each.text)]
SHOWN = [
    (Example(block.page, command), output)
    for block in blocks("console")
    for command, output in re.findall(r"^\$ (.+)\n((?:(?!\$ ).+\n)+)", block.text, re.MULTILINE)
]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server(model=DEFAULT_MODEL, default_max_tokens=16) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files and images that the examples take for granted."""
    for name in ("photo.jpg", "receipt.png", "holiday/beach.jpg", "holiday/hotel.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(image_file("PNG" if name.endswith("png") else "JPEG"))
    (tmp_path / "docs/images").mkdir(parents=True)
    shutil.copy(ROOT / "docs/images/scene.png", tmp_path / "docs/images")
    (tmp_path / "questions.txt").write_text("# of every photo\nWho is there?\n\nWhat is it?\n")
    return tmp_path


def run(folder: Path, *command: str, **variables: str) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(
        command, cwd=folder, env=os.environ | variables, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def addressed(text: str, server: Server) -> str:
    """An example with this server's address instead of the one that is printed."""
    assert ADDRESSES.search(text)
    return ADDRESSES.sub(server.url.removeprefix("http://"), text)


@pytest.mark.parametrize("example", CURL, ids=str)
def test_a_curl_example_works_when_pasted(server: Server, folder: Path, example: Example) -> None:
    pasted = addressed(example.text, server).replace("curl", "curl -sS --fail-with-body")
    said = run(folder, "bash", "-c", f"set -e\n{pasted}")
    if "stream=true" in pasted:
        events = [json.loads(line.removeprefix("data: ")) for line in said.splitlines() if line.startswith("data")]
        assert events[-1]["completed"] is True
        return
    answer = json.loads(said)
    if pasted.strip().endswith("/v1/images"):
        assert answer["id"].startswith("img_")
    else:
        assert answer["model"] == httpx.get(f"{server.url}/v1").json()["model"]["name"]
        assert "/v1/estimate" in pasted or answer["finish_reason"] in ("stop", "length")


@pytest.mark.parametrize("example", PROGRAMS, ids=[each.page for each in PROGRAMS])
def test_a_python_example_works_when_pasted(server: Server, folder: Path, example: Example) -> None:
    for package in re.findall(r"^from (langchain_openai|litellm) ", example.text, re.MULTILINE):
        if find_spec(package) is None:
            pytest.skip("needs the extra `clients`")
    assert run(folder, sys.executable, "-c", addressed(example.text, server)).strip()


@pytest.mark.parametrize("example", PHEYE, ids=str)
def test_a_command_about_images_does_what_it_says(server: Server, folder: Path, example: Example) -> None:
    words = addressed(example.text, server) if "--server" in example.text else example.text
    with hostile_web({"/photo.jpg": answer_of(image_file())}) as web:
        said = pasted(words.replace("https://example.org/", web.url("/")), folder)
    if "--json" in words.split():
        assert json.loads(said)["finish_reason"]
    elif "--jsonl - " in words or "--shard" in words:
        assert all(json.loads(line)["image"].startswith("holiday/") for line in said.splitlines())
    elif "--jsonl captions.jsonl" in words:
        lines = (folder / "captions.jsonl").read_text(encoding="utf-8").splitlines()
        assert sorted(json.loads(line)["image"] for line in lines) == ["holiday/beach.jpg", "holiday/hotel.jpg"]
    elif ".parquet" in words:
        assert [path.name for path in folder.glob("captions*")] == ["captions.parquet"]
    else:
        assert said.strip()


def pasted(line: str, folder: Path) -> str:
    """Standard output of `pheye` as a line runs it, which must succeed; in this process, since loading torch is slow.

    What a shell does is done for it: a file redirected to it, and a pipe of which only a line is read.
    """
    words, _, after = line.removeprefix(".venv/bin/pheye ").partition(" | ")
    assert after in ("", "head -1"), line
    words, _, redirected = words.partition(" < ")
    given = (folder / redirected).read_bytes() if redirected else None
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHEYE_DEFAULT_MAX_TOKENS", "16")
        patch.setenv("PHEYE_THREADS", "1")
        if "--server" in words:
            patch.delenv("PHEYE_DEFAULT_MAX_TOKENS")
            patch.delenv("PHEYE_THREADS")
        done = CliRunner().invoke(app, shlex.split(words), input=given)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_every_command_of_the_page_about_commands_is_run() -> None:
    shown = {each.text for each in shell_commands() if each.page == "docs/cli.md"}
    assert len(shown) >= 12
    assert shown == {each.text for each in PHEYE if each.page == "docs/cli.md"}


@pytest.mark.parametrize("words", re.findall(r"^## (pheye(?: [\w-]+)*)$", PAGES["docs/cli.md"], re.MULTILINE))
def test_a_command_with_a_section_of_its_own_runs_and_tells_its_options(words: str) -> None:
    section = PAGES["docs/cli.md"].partition(f"\n## {words}\n")[2].partition("\n## ")[0]
    done = CliRunner().invoke(app, [*words.split()[1:], "-h"], terminal_width=200)
    assert done.exit_code == 0, done.output
    for flag in re.findall(r"^\| `(--[\w-]+)", section, re.MULTILINE):
        assert flag in done.stdout


@pytest.mark.parametrize("example", LOADS, ids=str)
def test_a_load_test_measures_what_it_says(server: Server, example: Example) -> None:
    few = " --requests 4 --clients 2" if ".storm" in example.text else " --requests 4 --warm-up 0"
    words = addressed(example.text, server).replace("python", sys.executable, 1) + few
    assert run(ROOT, "bash", "-c", words).strip()


@pytest.mark.parametrize(("example", "shown"), SHOWN, ids=[str(example) for example, _ in SHOWN])
def test_what_a_page_shows_of_the_default_model_is_what_it_says(example: Example, shown: str) -> None:
    pasted = example.text.replace(".venv/bin/pheye", str(Path(sys.executable).with_name("pheye")))
    assert run(ROOT, "bash", "-c", pasted, PHEYE_THREADS="1") == shown


def test_there_are_examples_of_every_kind_of_request() -> None:
    for part in (
        "/v1/caption", "/v1/vqa", "questions=", "--data-binary", "image_url", "stream=true", "explain=true", "img_",
        "/v1/images/$id", "/v1/estimate", "import moondream", "from openai", "pheye caption", "--questions",
    ):  # fmt: skip
        assert any(part in example.text for example in CURL + PROGRAMS + PHEYE), part
    assert {"--server" in example.text for example in PHEYE} == {True, False}
    assert {example.text.split()[1] for example, _ in SHOWN} == {"caption", "ask"}


@pytest.mark.parametrize("example", list(blocks("json")), ids=str)
def test_an_example_in_json_is_json_and_names_the_default_model(server: Server, example: Example) -> None:
    answer = json.loads(example.text)
    if "model" in answer:
        assert answer["model"] == httpx.get(f"{server.url}/v1").json()["model"]["name"]
        assert answer.keys() <= CaptionAnswer.model_fields.keys()
        assert CaptionAnswer.model_validate(answer).timings.total > 0


def test_every_block_of_code_is_of_a_language_that_is_tried_or_generated() -> None:
    # `py` is run by the tests of training, which read it here; `text` is what a command shows, or a file holds.
    tried = {"bash", "python", "py", "console", "sh", "json", "toml", "yaml", "js", "text"}
    for page, text in PAGES.items():
        by_hand = re.sub(r"<!-- generated: .*?<!-- end -->", "", text, flags=re.DOTALL)
        assert {block.language for block in code_blocks(by_hand)} <= tried, page
        assert by_hand.count("```") == 2 * len(list(code_blocks(by_hand))), f"{page}: a block that has no language"


def test_every_keys_file_on_a_page_is_one_that_the_server_takes(tmp_path: Path) -> None:
    files = [block.text for text in PAGES.values() for block in code_blocks(text) if block.language == "toml"]
    assert files
    for text in files:
        file = tmp_path / "keys.toml"
        file.write_text(text, encoding="utf-8")
        assert read_key_file(str(file), ClientPolicy())
