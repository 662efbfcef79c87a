"""Every field that the installed `openai` package can send has its place: used, limited, or ignored.

A field that a new version of the package brings fails here until somebody has decided what becomes of it; for a user it
is ignored and named until then.
"""

from __future__ import annotations

import typing

import pytest
from openai.types import chat
from openai.types.chat import completion_create_params as params
from openai.types.responses import ResponseInputImageParam, ResponseInputTextParam

from service.api.openai.ignored import OpenFields
from service.api.openai.request import ChatRequest, StreamOptions
from service.api.openai.turns import PARTS, ImagePart, ImageUrl, Message, RefusalPart, TextPart

# Kinds of messages and parts whose text or image Pheye could not answer about: refused as a whole.
REFUSED_ROLES = {"tool", "function"}
REFUSED_PARTS = {"input_audio", "file"}
# Fields that are ignored as unknown ones are: nothing in the document would help anybody.
LEFT_OUT = {"prompt_cache_breakpoint"}


def fields(shape: type) -> set[str]:
    return set(typing.get_type_hints(shape))


def kinds(union: object, name: str) -> dict[str, type]:
    """The shapes of a union, by what their field `type` or `role` says."""
    found = {}
    for shape in typing.get_args(union):
        literal = typing.get_type_hints(shape)[name]  # a Literal
        found[typing.get_args(literal)[0]] = shape
    return found


MESSAGES = kinds(chat.ChatCompletionMessageParam, "role")
SAID = kinds(chat.chat_completion_content_part_param.ChatCompletionContentPartParam, "type") | kinds(
    chat.chat_completion_assistant_message_param.ContentArrayOfContentPart, "type"
)


@pytest.mark.parametrize("shape", [params.CompletionCreateParamsNonStreaming, params.CompletionCreateParamsStreaming])
def test_every_parameter_of_a_chat_has_its_place(shape):
    assert len(fields(shape)) > 30
    assert fields(shape) - ChatRequest.model_fields.keys() == set()


def test_every_parameter_of_ours_is_one_of_openais():
    """So nothing stays documented that OpenAI's clients know no more."""
    assert ChatRequest.model_fields.keys() - fields(params.CompletionCreateParamsStreaming) == set()


def test_every_role_is_taken_or_refused():
    assert MESSAGES.keys() == set(typing.get_args(Message.model_fields["role"].annotation)) | REFUSED_ROLES


@pytest.mark.parametrize("role", sorted(MESSAGES.keys() - REFUSED_ROLES))
def test_every_field_of_a_message_has_its_place(role):
    assert fields(MESSAGES[role]) - Message.model_fields.keys() == set()


def test_every_part_is_read_or_refused():
    responses = {"input_text", "output_text", "input_image"}
    assert SAID.keys() == PARTS.keys() - responses | REFUSED_PARTS


@pytest.mark.parametrize(
    ("shape", "ours"),
    [
        (chat.ChatCompletionContentPartTextParam, TextPart),
        (chat.ChatCompletionContentPartImageParam, ImagePart),
        (chat.ChatCompletionContentPartRefusalParam, RefusalPart),
        (chat.chat_completion_content_part_image_param.ImageURL, ImageUrl),
        (chat.ChatCompletionStreamOptionsParam, StreamOptions),
        (ResponseInputTextParam, TextPart),
    ],
)
def test_every_field_of_a_part_has_its_place(shape: type, ours: type[OpenFields]):
    assert fields(shape) - ours.model_fields.keys() - LEFT_OUT == set()


def test_an_image_of_the_responses_api_is_taken_by_its_address():
    assert fields(ResponseInputImageParam) - ImagePart.model_fields.keys() - LEFT_OUT == {"file_id"}
