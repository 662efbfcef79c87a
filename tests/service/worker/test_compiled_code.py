"""A worker that serves a small model takes compiled code into use behind its requests, and answers as torch does."""

from __future__ import annotations

import pytest

pytest.importorskip("numba")

import httpx

from tests.support.serving import running_server, wait_until

QUESTION = {"question": "What does the sign say?", "max_tokens": 24}
LONG_S = 900.0  # to compile, on a busy machine, where nobody has before


def answers(url: str, picture: bytes) -> list[str]:
    files = {"image": ("scene.png", picture, "image/png")}
    found = [
        httpx.post(f"{url}/v1/{path}", files=files, data=QUESTION if path == "vqa" else {})
        for path in ("vqa", "caption")
    ]
    return [answer.raise_for_status().json()[name] for answer, name in zip(found, ("answer", "caption"), strict=True)]


def test_answers_are_those_of_torch(request):
    folder = request.config.rootpath / "model" / "weights" / "pheye-tiny"
    picture = (folder / "scene.png").read_bytes()
    with running_server(model=folder, compiled_code="off") as server:
        wanted = answers(server.url, picture)
        assert "compiled" not in server.log
    with running_server(model=folder, compiled_code="auto", feature_cache_bytes=0) as server:
        wait_until(lambda: "compiled code is in use" in server.log, LONG_S)
        assert answers(server.url, picture) == wanted
