"""Chats folded into one instruction and one image."""

from __future__ import annotations

import pytest

from model.prompt import caption_instruction
from service.api.openai.conversation import fold
from service.api.openai.request import check_chat
from service.errors import InvalidField, UnsupportedParameter

IMAGE = {"type": "image_url", "image_url": {"url": "data:a"}}
CAPTION = caption_instruction("normal")
REFUSAL = {"type": "refusal", "refusal": "No."}
OTHER = {"type": "image_url", "image_url": {"url": "data:b"}}


def text(words):
    return {"type": "text", "text": words}


def said(role, *parts):
    return {"role": role, "content": parts[0] if parts and isinstance(parts[0], str) else list(parts)}


def folded(*messages):
    return fold(check_chat({"messages": list(messages)}).messages)


@pytest.mark.parametrize(
    ("messages", "instruction"),
    [
        pytest.param([said("user", text(" Why?\n"), IMAGE)], " Why?\n", id="one-turn-is-verbatim"),
        pytest.param([said("user", text("a"), IMAGE, text("b"))], "a\nb", id="parts-are-lines"),
        pytest.param([said("system", "Be brief."), said("user", IMAGE, text("Why?"))], "Be brief.\nWhy?", id="system"),
        pytest.param([said("developer", "d"), said("system", "s"), said("user", IMAGE, text("u"))], "d\ns\nu", id="2"),
        pytest.param(
            [said("user", IMAGE, text("Who?")), said("assistant", "A cat."), said("user", "Why?")],
            "User: Who?\nAssistant: A cat.\nUser: Why?",
            id="turns",
        ),
        pytest.param(
            [said("system", "s"), said("user", IMAGE, text("a")), said("user", "b")], "s\nUser: a\nUser: b", id="users"
        ),
        pytest.param(
            [said("user", IMAGE, text("a")), said("assistant", text("x")), said("user", IMAGE, text("b"))],
            "User: a\nAssistant: x\nUser: b",
            id="the-same-image-again",
        ),
        pytest.param([said("user", IMAGE)], CAPTION, id="an-image-alone"),
        pytest.param([said("user", text(" "), IMAGE)], CAPTION, id="an-image-and-a-blank"),
        pytest.param([said("system", "Now."), said("user", IMAGE)], f"Now.\n{CAPTION}", id="system-and-image"),
        pytest.param(
            [said("user", IMAGE), said("assistant", "A cat."), said("user", "Why?")],
            f"User: {CAPTION}\nAssistant: A cat.\nUser: Why?",
            id="a-caption-and-a-question",
        ),
        pytest.param([said("user", IMAGE), said("user", "Why?")], "Why?", id="image-and-text-in-two-messages"),
        pytest.param(
            [said("user", IMAGE, text("a")), {"role": "assistant", "content": None}, said("user", "b")],
            "User: a\nUser: b",
            id="null-says-nothing",
        ),
        pytest.param(
            [said("user", IMAGE, text("a")), {"role": "assistant", "refusal": "No."}, said("user", "b")],
            "User: a\nAssistant: No.\nUser: b",
            id="refusal",
        ),
        pytest.param(
            [said("user", IMAGE, text("a")), said("assistant", REFUSAL), said("user", "b")],
            "User: a\nAssistant: No.\nUser: b",
            id="part-of-refusal",
        ),
        pytest.param(
            [said("user", {"type": "input_image", "image_url": "data:a"}, {"type": "input_text", "text": "a"})],
            "a",
            id="parts-of-responses",
        ),
        pytest.param([said("user", {"type": "image_url", "image_url": "data:a"}, text("a"))], "a", id="plain-address"),
        pytest.param([said("system", ""), said("user", IMAGE, text("Why?"))], "Why?", id="system-says-nothing"),
        pytest.param([said("developer", text(" ")), said("user", IMAGE)], CAPTION, id="developer-says-nothing"),
        pytest.param([said("user", text(""), IMAGE, text("Why?"), text("\n"))], "Why?", id="parts-say-nothing"),
        pytest.param(
            [said("user", IMAGE, text("a")), said("assistant", " "), said("user", "\n"), said("user", "b")],
            "User: a\nUser: b",
            id="turns-say-nothing",
        ),
    ],
)  # fmt: skip
def test_turns_become_one_instruction(messages, instruction):
    conversation = folded(*messages)
    assert conversation.instruction == instruction
    assert conversation.image_url == "data:a"


@pytest.mark.parametrize(
    ("messages", "error", "words"),
    [
        pytest.param([said("user", "Why?")], InvalidField, "messages: no image", id="no-image"),
        pytest.param([said("user", IMAGE), said("user", " ")], InvalidField, "messages[1].content: no", id="blank"),
        pytest.param(
            [said("user", text("a"), IMAGE, OTHER)], UnsupportedParameter, "messages[0].content[2]: a second", id="two"
        ),
        pytest.param(
            [said("user", text("a"), IMAGE), said("user", OTHER, text("b"))],
            UnsupportedParameter,
            "messages[1].content[0]: a second",
            id="an-image-in-each-turn",
        ),
        pytest.param(
            [said("assistant", IMAGE), said("user", "a")],
            UnsupportedParameter,
            "messages[0].content[0]: an image is read in a user's",
            id="assistants-image",
        ),
        pytest.param(
            [said("user", text("a"), IMAGE), said("assistant", "It")],
            InvalidField,
            "messages[1].role: the last message must be the user's",
            id="prefill",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_folded_is_refused_where_it_stands(messages, error, words):
    with pytest.raises(error) as caught:
        folded(*messages)
    assert type(caught.value) is error
    assert caught.value.detail.startswith(words)
