"""The README's curl examples, run as they are printed."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import Server, image_file, running_server

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    command
    for block in BLOCKS
    for command in (block.split("\n\n") if "<<" in block or "id=$(" in block else block.strip().splitlines())
]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server(default_max_tokens=16) as running:
        yield running


@pytest.mark.parametrize("command", COMMANDS, ids=[f"example {number}" for number in range(1, len(COMMANDS) + 1)])
def test_a_curl_example_of_the_readme_works_when_pasted(server: Server, tmp_path: Path, command: str) -> None:
    (tmp_path / "photo.jpg").write_bytes(image_file())
    assert "localhost:8000" in command
    pasted = command.replace("localhost:8000", server.url.removeprefix("http://")).replace(
        "curl", "curl -sS --fail-with-body"
    )
    done = subprocess.run(["bash", "-c", pasted], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    if "stream=true" in command:
        events = [
            json.loads(line.removeprefix("data: ")) for line in done.stdout.splitlines() if line.startswith("data")
        ]
        assert events[-1]["completed"] is True
    else:
        answer = json.loads(done.stdout)
        assert answer["model"] == "pheye-tiny-random-weights"
        assert "/v1/estimate" in command or answer["finish_reason"] in ("stop", "length")


def test_the_readme_has_examples_of_every_kind_of_request() -> None:
    assert len(COMMANDS) >= 6
    for part in ("/v1/caption", "/v1/vqa", "questions=", "--data-binary", "image_url", "stream=true"):
        assert any(part in command for command in COMMANDS), part
