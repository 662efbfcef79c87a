"""Open WebUI's requests, in the order and shape in which its server sends them for one chat about a picture.

Written after its public source (backend/open_webui: routers/openai.py, routers/tasks.py, utils/payload.py): it lists
the models, streams the chat, then asks the model without the image for a title, tags and follow-up questions.
"""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.support.serving import TALKATIVE, data_uri, image_file, running_server

KEY = {"authorization": "Bearer secret", "content-type": "application/json"}
# What a user can set for a model in its pages, all of it at once; custom parameters come last.
PARAMETERS = TALKATIVE | {
    "max_tokens": 12, "top_p": 0.9, "min_p": 0.0, "top_k": 40, "frequency_penalty": 0.0, "presence_penalty": 0.0,
    "repeat_penalty": 1.1, "reasoning_effort": "medium", "stop": ["\0"], "logit_bias": {}, "num_ctx": 2048,
    "keep_alive": "5m", "think": False,
}  # fmt: skip
IGNORED = "keep_alive,logit_bias,min_p,num_ctx,reasoning_effort,repeat_penalty,think,top_k,user"
QUESTION = {
    "role": "user",
    "content": [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": data_uri(image_file())}},
    ],
}
STREAM = {"stream": True, "stream_options": {"include_usage": True}}
USER = {"name": "Ada", "id": "1", "email": "ada@example.org", "role": "user"}


@pytest.fixture(scope="module")
def webui():
    with running_server(api_keys="secret", name="eye") as server, server.client(headers=KEY) as client:
        yield client


def streamed(response: httpx.Response) -> tuple[str, dict[str, Any]]:
    """The text and the usage, read as Open WebUI reads them."""
    assert response.status_code == 200, response.text
    assert "text/event-stream" in response.headers["content-type"]
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    pieces = [json.loads(line) for line in lines]
    text = "".join(choice["delta"].get("content") or "" for piece in pieces for choice in piece["choices"])
    return text, pieces[-1]["usage"]


def test_a_chat_is_listed_streamed_and_asked_on(webui):
    models = webui.get("/v1/models").json()["data"]
    assert [model["id"] for model in models] == ["eye"]
    first = webui.post(
        "/v1/chat/completions", json={"model": "eye", "messages": [QUESTION], "user": USER} | STREAM | PARAMETERS
    )
    text, usage = streamed(first)
    assert text
    assert usage["completion_tokens"] == 12
    assert first.headers["x-pheye-ignored"] == IGNORED
    history = [
        {"role": "system", "content": "Be brief."},
        QUESTION,
        {"role": "assistant", "content": text},
        {"role": "user", "content": "And what else?"},
    ]
    assert streamed(webui.post("/v1/chat/completions", json={"model": "eye", "messages": history} | STREAM))[1]


@pytest.mark.parametrize("limit", [{"max_completion_tokens": 1000}, {}], ids=["title", "tags-and-follow-ups"])
def test_a_task_without_the_image_gets_an_error_that_leaves_the_chat_as_it_is(webui, limit):
    """Open WebUI takes what is not an answer for no title: it goes on with the first message instead."""
    task = {"role": "user", "content": "### Task:\nName this chat.\n<chat_history>USER: What is it?</chat_history>"}
    refused = webui.post("/v1/chat/completions", json={"model": "eye", "messages": [task], "stream": False} | limit)
    assert refused.status_code == 400
    assert refused.headers["content-type"] == "application/json"
    assert refused.json()["error"]["message"].startswith("messages: no image")


def test_a_base_url_with_a_slash_at_its_end_is_the_same(webui):
    assert webui.get("/v1//models").json() == webui.get("/v1/models").json()
