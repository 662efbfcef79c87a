"""The MCP tools over a service that is not there: what is sent, what is told of it, and errors in words."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from service import mcp_process
from service.batch.answerers.server import ServiceConnection
from service.cli.main import app
from service.images import DIGEST_HEADER, digest_of
from service.mcp.arguments import AskArguments
from service.mcp.images import LocalSources, WebSources
from service.mcp.service_client import ToolError, request_of
from service.mcp.tools import CARDS, Tools
from tests.support.serving import data_uri, image_file

TOLD: Mapping[str, Any] = {
    "id": "1",
    "model": "m",
    "finish_reason": "length",
    "warnings": ["outside_known_world", "new_one"],
    "usage": {
        "prompt_tokens": 1, "completion_tokens": 1, "image_tokens": 1, "image_tiles": 1,
        "image_tiles_cached": 1, "image_features_cached": True,
    },
    "timings": dict.fromkeys(("queue", "preprocess", "encode", "prefill", "decode", "total"), 0.1),
}  # fmt: skip


class Scripted:
    """A service with one answer."""

    def __init__(self, status: int = 200, headers: Mapping[str, str] = {}, **body: Any) -> None:
        self.answer = httpx.Response(status, json=body, headers=headers)
        self.asked: list[tuple[str, dict[str, Any], bytes | None]] = []

    async def post(self, path: str, fields: Mapping[str, Any], file: bytes | None) -> httpx.Response:
        self.asked.append((path, dict(fields), file))
        return self.answer


def call(service: Scripted, name: str, arguments: Mapping[str, Any], *, local: bool = True) -> Any:
    sources = LocalSources(max_bytes=10_000) if local else WebSources()
    return asyncio.run(Tools(service, sources).call(name, arguments))


def refusal(arguments: Mapping[str, Any], *, local: bool = True, name: str = "caption") -> str:
    service = Scripted()
    with pytest.raises(ToolError) as refused:
        call(service, name, arguments, local=local)
    assert not service.asked
    return str(refused.value)


def test_a_caption_of_a_file_is_sent_as_a_form_and_told_with_its_warnings(tmp_path: Path) -> None:
    file = tmp_path / "ä photo.jpg"
    file.write_bytes(image_file())
    service = Scripted(**TOLD, caption="A disc")
    result = call(service, "caption", {"image_path": str(file), "length": "short", "max_tokens": 5})
    assert service.asked == [("/v1/caption", {"length": "short", "settings": {"max_tokens": 5}}, image_file())]
    first, known, unknown = result.text.splitlines()
    assert first == "A disc [cut short by max_tokens]"
    assert known.startswith("Warning: outside_known_world: the image shows what this model was never taught")
    assert unknown == "Warning: new_one."
    assert result.structured["warnings"] == ["outside_known_world", "new_one"]


@pytest.mark.parametrize("image", [{"image_base64": "/9j/4AAQ"}, {"image_url": "data:x"}, {"image_id": "img_1"}])
def test_questions_about_what_needs_no_file_go_as_json_in_one_request(image: dict[str, str]) -> None:
    told = {**TOLD, "warnings": [], "answers": ["red", "two"], "finish_reasons": ["stop", "stop"]}
    service = Scripted(**told, confidences=[-0.1, -0.2])
    result = call(service, "ask", {**image, "questions": ["Which?", "How many?"]}, local=False)
    [(path, fields, file)] = service.asked
    assert (path, file) == ("/v1/vqa", None)
    assert fields == {"questions": ["Which?", "How many?"], "image_url": next(iter(image.values()))}
    assert result.text == "Which?\nred\nHow many?\ntwo"
    assert [each["answer"] for each in result.structured["answers"]] == ["red", "two"]


def test_one_question_may_be_a_text_and_its_answer_stands_alone() -> None:
    told = {**TOLD, "finish_reason": "stop", "warnings": [], "answers": ["red"], "finish_reasons": ["stop"]}
    assert call(Scripted(**told), "ask", {"image_id": "img_1", "questions": "Which?"}).text == "red"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "image: there is none; send one of image_path, image_url, image_base64, image_id"),
        ({"image_path": "nowhere.png"}, f"image_path: {os.getcwd()}/nowhere.png: No such file"),
        ({"image_path": "."}, f"image_path: {os.getcwd()}: this is a folder"),
        ({"image_path": "/dev/zero"}, "image_path: /dev/zero: this is no regular file"),
        ({"image_path": "a\0b\n"}, "a\\x00b\\n': embedded null byte"),
        ({"image_path": "~nobody\0x"}, "image_path: '~nobody\\x00x': embedded null byte"),
        ({"image_url": "file://[x/a.png"}, "image_url: Invalid IPv6 URL; write file:///path"),
        ({"image_path": __file__, "image_id": "img_1"}, "image_path and image_id: send one image"),
        ({"image_id": "photo.jpg"}, "image_id: the ids of uploaded images begin with img_"),
        ({"image_url": " "}, "image_url: must not be empty"),
        ({"image_url": "http://user:pw@host/a.png"}, "image_url: no user and no password"),
        ({"image_url": "http://127.0.0.1:9/a.png"}, "image_url: 127.0.0.1: no connection to port 9"),
        ({"image_id": "img_1", "lenght": "short"}, "lenght: unknown field; did you mean length?"),
        ({"image_id": "img_1", "length": "huge"}, "length: must be 'short', 'normal' or 'long'"),
        ({"image_id": "img_1", "max_tokens": 0}, "max_tokens: must be at least 1"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_wrong_arguments_are_told_in_words_that_name_them(arguments: dict[str, Any], said: str) -> None:
    assert said in refusal(arguments)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "large.bmp").write_bytes(bytes(10_001))
    assert "more than the 10000 bytes allowed" in refusal({"image_path": str(tmp_path / "large.bmp")})


def test_a_file_that_says_it_is_empty_is_read_no_further_than_allowed() -> None:
    """Files of `/proc` tell no size; this one has more than 10,000 bytes."""
    assert os.stat("/proc/self/smaps").st_size == 0
    assert "more than the 10000 bytes allowed" in refusal({"image_path": "/proc/self/smaps"})


def test_a_file_may_be_as_large_as_the_running_service_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, spoken = tmp_path / "large.bmp", list[Tools]()
    with file.open("wb") as opened:
        opened.truncate(21 << 20)

    async def speak(tools: Tools) -> None:
        spoken.append(tools)

    monkeypatch.setattr(mcp_process, "_speak", speak)
    monkeypatch.setattr(mcp_process, "contact", lambda server, _: SimpleNamespace(
        limits=SimpleNamespace(body_bytes=int(server.url))
    ))  # fmt: skip
    for most in (22 << 20, 20 << 20):
        asyncio.run(mcp_process._serve_there(ServiceConnection(str(most))))
    taken = asyncio.run(spoken[0].images.image({"image_path": str(file)}))
    assert taken is not None
    assert len(taken.file or b"") == 21 << 20
    with pytest.raises(ToolError, match=f"more than the {20 << 20} bytes allowed"):
        asyncio.run(spoken[1].images.image({"image_path": str(file)}))


def test_a_running_service_is_asked_for_its_limits_before_each_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, said = tmp_path / "large.bmp", iter([2000, None, 500, 3000])
    file.write_bytes(bytes(1000))

    def card(*_: object) -> Any:  # of a service that restarts, with other limits
        most = next(said)
        return None if most is None else SimpleNamespace(limits=SimpleNamespace(body_bytes=most))

    monkeypatch.setattr(mcp_process, "contact", card)
    monkeypatch.setattr(mcp_process, "look", card)
    sources = mcp_process._SourcesFor(mcp_process.RunningService(ServiceConnection("http://there")))

    async def sizes() -> list[str]:
        told = []
        for _ in range(4):
            try:
                sent = await sources.image({"image_path": str(file)})
                told.append(str(len(sent.file or b"")) if sent else "")
            except ToolError as error:
                told.append(str(error).partition("more than ")[2].partition(" bytes")[0])
        return told

    assert asyncio.run(sizes()) == ["1000", "1000", "the 500", "1000"]


def test_a_server_does_not_open_files_for_agents_elsewhere() -> None:
    assert "this server cannot see your files" in refusal({"image_path": __file__}, local=False)
    tools = Tools(Scripted(), WebSources())
    assert all("image_path" not in tools.input_schema(card)["properties"] for card in CARDS)
    assert "questions" in Tools(Scripted(), LocalSources(1)).input_schema(CARDS[1])["required"]
    assert AskArguments.model_fields.keys() >= {"questions", "choices"}


def test_an_unknown_tool_and_no_question_are_told() -> None:
    assert "there are caption, ask, estimate" in refusal({}, name="detect")
    assert "questions: is missing" in refusal({"image_id": "img_1"}, name="ask")
    assert "questions: must not be empty" in refusal({"image_id": "img_1", "questions": []}, name="ask")


def test_what_the_service_refuses_is_told_with_the_names_that_the_agent_knows(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("no image")
    cases = [
        (Scripted(415, detail="image: not of a format"), {"image_path": str(file)}, f"image_path: {file}: not of a"),
        (Scripted(400, detail="image_url: broken"), {"image_base64": "x"}, "image_base64: broken"),
        (Scripted(429, {"Retry-After": "7"}, detail="full"), {"image_id": "img_1"}, "full; try again in 7 s"),
        (Scripted(503, {"Retry-After": "Sat, 28 Nov 2026 23:59:59 GMT"}, detail="full"), {"image_id": "img_1"}, "full"),
        (Scripted(422, detail="settings.max_tokens: 9 is"), {"image_id": "img_1"}, "max_tokens: 9 is"),
        (Scripted(502), {"image_id": "img_1"}, "HTTP 502 Bad Gateway"),
        (Scripted(200, caption="no more"), {"image_id": "img_1"}, "not of the form it should have"),
    ]
    for service, arguments, said in cases:
        with pytest.raises(ToolError) as refused:
            call(service, "caption", arguments)
        assert str(refused.value).startswith(said) or said in str(refused.value)


def test_a_file_is_sent_with_its_digest() -> None:
    assert request_of("/v1/caption", {}, b"GIF89a")["headers"] == {DIGEST_HEADER: digest_of(b"GIF89a")}


def test_a_data_uri_is_no_link() -> None:
    service = Scripted(**TOLD, caption="A disc")
    call(service, "caption", {"image_url": data_uri(image_file())})
    assert service.asked[0][1]["image_url"].startswith("data:image/jpeg;base64,")


def test_without_the_extra_the_command_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("service.mcp.extra.version", missing)
    done = CliRunner().invoke(app, ["mcp"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert 'pip install "pheye-service[mcp]"' in done.stderr
    served = CliRunner().invoke(app, ["serve", "--mcp", "true", "--port", "0"])
    assert served.exit_code == 2
    assert "PHEYE_MCP: the Python package mcp is not installed" in served.stderr
