"""LangChain's `ChatOpenAI`, as it is: an image as a part, streamed, and what it does with what Pheye cannot do."""

from __future__ import annotations

import asyncio

import openai
import pytest

from tests.support.serving import TALKATIVE, data_uri, image_file, running_server

langchain_openai = pytest.importorskip("langchain_openai", reason="needs the extra `clients`")
messages = pytest.importorskip("langchain_core.messages", reason="needs the extra `clients`")

TEXT = {"type": "text", "text": "What is it?"}
IMAGES = {
    "image_url": {"type": "image_url", "image_url": {"url": data_uri(image_file())}},
    "plain-address": {"type": "image_url", "image_url": data_uri(image_file())},
    "standard-part": {
        "type": "image",
        "source_type": "base64",
        "mime_type": "image/jpeg",
        "data": data_uri(image_file()).partition(",")[2],
    },
}


@pytest.fixture(scope="module")
def model():
    with running_server(api_keys="secret", name="eye") as server:
        yield langchain_openai.ChatOpenAI(
            base_url=f"{server.url}/v1", api_key="secret", model="eye", max_tokens=12, max_retries=0, **TALKATIVE
        )


def about(image="image_url", text=TEXT):
    return messages.HumanMessage(content=[text, IMAGES[image]])


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_is_asked_about_in_every_form_that_langchain_has(model, image):
    answer = model.invoke([about(image)])
    assert answer.content == model.invoke([about()]).content
    assert answer.usage_metadata["output_tokens"] == 12
    assert answer.response_metadata["model_name"] == "eye"


def test_a_streamed_answer_is_the_whole_one(model):
    pieces = list(model.stream([messages.SystemMessage(content="Be brief."), about()], stream_usage=True))
    whole = model.invoke([messages.SystemMessage(content="Be brief."), about()])
    assert "".join(piece.content for piece in pieces) == whole.content
    assert sum(piece.usage_metadata["output_tokens"] for piece in pieces if piece.usage_metadata) == 12


def test_an_answer_is_asked_about_further(model):
    first = model.invoke([about()])
    assert model.invoke([about(), first, messages.HumanMessage(content="And?")]).content


def test_the_asynchronous_model_gives_the_same(model):
    assert asyncio.run(model.ainvoke([about()])).content == model.invoke([about()]).content


def test_tools_are_refused_in_openais_words(model):
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    with pytest.raises(openai.BadRequestError, match="Pheye calls no tools"):
        model.bind_tools([tool]).invoke([about()])
