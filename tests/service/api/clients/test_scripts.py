"""Clients in processes of their own, as `docs/clients.md` shows them: LiteLLM, `llm`, OpenAI for JavaScript."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.configuration.settings import Settings
from tests.support.pages import blocks, shell_commands
from tests.support.serving import Server, data_uri, image_file, running_server

PAGE = "docs/clients.md"
MODEL = Settings.model_fields["model"].default
NODE_MODULES = Path(sys.prefix) / "node_modules"
OPENAI_JS = [block for block in blocks("js") if block.page == PAGE and 'from "openai"' in block.text]
LLM = [example for example in shell_commands() if example.text.startswith("llm ")]

needs_llm = pytest.mark.skipif(importlib.util.find_spec("llm") is None, reason="needs the extra `clients`")
needs_litellm = pytest.mark.skipif(importlib.util.find_spec("litellm") is None, reason="needs the extra `clients`")
needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (NODE_MODULES / "openai").is_dir(), reason="needs node and its openai package"
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server(model=MODEL, default_max_tokens=16) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photo.jpg").write_bytes(image_file())
    return tmp_path


def run(folder: Path, *command: str, **variables: str) -> str:
    """Standard output of a client that must succeed; it finds no key and no settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "LLM_", "LITELLM_"))}
    done = subprocess.run(
        command, cwd=folder, env=kept | {"HOME": str(folder)} | variables, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def addressed(text: str, server: Server) -> str:
    return text.replace("http://localhost:8000", server.url)


def caption(server: Server) -> str:
    return str(httpx.post(f"{server.url}/v1/caption", json={"image_url": data_uri(image_file())}).json()["caption"])


def answer(server: Server, question: str) -> str:
    asked = {"image_url": data_uri(image_file()), "question": question}
    return str(httpx.post(f"{server.url}/v1/vqa", json=asked).json()["answer"])


@needs_llm
@pytest.mark.parametrize("example", LLM, ids=str)
def test_llm_answers_with_the_configuration_of_the_page(server: Server, folder: Path, example) -> None:
    configuration = next(block for block in blocks("yaml") if block.page == PAGE)
    (folder / "extra-openai-models.yaml").write_text(addressed(configuration.text, server), encoding="utf-8")
    llm = Path(sys.executable).with_name("llm")
    said = run(folder, "bash", "-c", example.text.replace("llm", str(llm), 1), LLM_USER_PATH=str(folder))
    question = example.text.partition('"')[2].rstrip('"')
    assert said.strip() == (answer(server, question) if question else caption(server)).strip()


LITELLM = """
import json, os
from litellm import completion
asked = json.loads(os.environ["ASKED"])
pieces = completion(api_base=os.environ["URL"], api_key="any", stream=True, **asked)
print("".join(piece.choices[0].delta.content or "" for piece in pieces))
"""


@needs_litellm
def test_litellm_streams_with_fields_of_other_models(server: Server, folder: Path) -> None:
    content = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": data_uri(image_file())}]
    asked = {
        "model": f"openai/{MODEL}", "messages": [{"role": "user", "content": content}], "top_k": 40,
        "frequency_penalty": 0.2, "extra_body": {"repetition_penalty": 1.1}, "user": "ada",
    }  # fmt: skip
    variables = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "URL": f"{server.url}/v1", "ASKED": json.dumps(asked)}
    assert run(folder, sys.executable, "-c", LITELLM, **variables).strip() == answer(server, "What is it?").strip()


@needs_node
@pytest.mark.parametrize("example", OPENAI_JS, ids=str)
def test_a_javascript_example_works_when_pasted(server: Server, folder: Path, example) -> None:
    (folder / "node_modules").symlink_to(NODE_MODULES)
    (folder / "ask.mjs").write_text(addressed(example.text, server), encoding="utf-8")
    said = run(folder, "node", "ask.mjs")
    assert said.strip() == answer(server, "What does the sign say?").strip()
