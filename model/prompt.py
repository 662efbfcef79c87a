"""Prompts of the language model: system prompt, captioning instructions, answer formats.

Sources: arXiv 2501.02584, caption of Table 1 (captioning prompts) and Table 3 (response formatting prompts). Pure
strings; any thread may call it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

CaptionLength = Literal["short", "normal", "long"]
CaptionStyle = Literal["plain", "scene_text"]
AnswerStyle = Literal["sentence", "short", "choice"]

SYSTEM_PROMPT = (
    "You are an AI visual assistant and you are seeing a single image. You will receive an instruction regarding that "
    "image. Your goal is to follow the instruction as faithfully as you can."
)
CAPTIONS: dict[CaptionLength, str] = {
    "short": "Provide a one-sentence caption for the provided image",
    "normal": "Describe the provided image",  # ours: the paper has no prompt between one sentence and a long text
    "long": "Generate a highly detailed description for the provided image using multiple sentences",
}
SCENE_TEXT_CAPTION = (
    "Generate a one-sentence caption for the provided image, incorporating textual elements visible in the image."
)
SHORT_ANSWER = "Answer the question using a single word or phrase"
CHOICE_ANSWER = "Answer with the option's letter from the given choices directly."


def render(instruction: str) -> str:
    """Write the whole text that precedes an answer; the instruction goes in verbatim, with no space after the colon."""
    return f"{SYSTEM_PROMPT}\n\nInstruction: {instruction}\nOutput:"


def caption_instruction(length: CaptionLength = "normal", style: CaptionStyle = "plain") -> str:
    """Return the instruction for a caption; a scene-text caption is one sentence whatever the length.

    >>> caption_instruction("short")
    'Provide a one-sentence caption for the provided image'
    """
    return SCENE_TEXT_CAPTION if style == "scene_text" else CAPTIONS[length]


def offered_answers(style: AnswerStyle, choices: Sequence[str]) -> tuple[str, ...]:
    """Return the answers that choices allow: their letters in the style `choice`, else the choices themselves.

    >>> offered_answers("choice", ["cat", "dog"]), offered_answers("short", ["cat", "dog"])
    (('A', 'B'), ('cat', 'dog'))
    """
    return tuple(map(_letter, range(len(choices)))) if style == "choice" else tuple(choices)


def _letter(index: int) -> str:
    return chr(ord("A") + index)


def question_instruction(question: str, style: AnswerStyle = "sentence", choices: Sequence[str] = ()) -> str:
    r"""Return the instruction for a question: verbatim, or with a response formatting prompt on a line of its own.

    >>> question_instruction("Which one?", "choice", ["cat", "dog"])
    "Which one?\nA. cat\nB. dog\nAnswer with the option's letter from the given choices directly."
    """
    if style == "short":
        return f"{question}\n{SHORT_ANSWER}"
    if style == "choice":
        options = "\n".join(f"{_letter(index)}. {choice}" for index, choice in enumerate(choices))
        return f"{question}\n{options}\n{CHOICE_ANSWER}"
    return question
