"""Results of the MCP tools: structured content for programs, and the same in words for an agent's model.

Owns both shapes. Smaller than the HTTP API's answers, because an agent's model reads all of it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from model.request import FinishReason
from service.schemas.estimate import Estimate
from service.schemas.responses import CaptionAnswer, ChoiceFields, ImageFields, VqaAnswer

_WARNINGS: Mapping[str, str] = {
    "image_end_missing": "the end of the image's file is missing, and what is there was read",
    "outside_known_world": "the image shows what this model was never taught, so do not rely on the answer",
}


class CaptionResult(BaseModel):
    """The structured content of `caption`."""

    caption: str
    model: str = Field(description="Which model answered.")
    finish_reason: FinishReason = Field(description="length if max_tokens cut it short, else stop.")
    confidence: float | None = Field(default=None, description="Mean log-probability of its tokens; 0 is certain.")
    warnings: list[str] = Field(description="What to know before relying on it; none as a rule.")
    image: ImageFields | None = None


class AnswerResult(BaseModel):
    """The answer to one question."""

    question: str
    answer: str
    finish_reason: FinishReason
    confidence: float | None = None
    choices: list[ChoiceFields] | None = Field(default=None, description="Each allowed answer with its probability.")


class AskResult(BaseModel):
    """The structured content of `ask`."""

    answers: list[AnswerResult] = Field(description="In the order of the questions.")
    model: str = Field(description="Which model answered.")
    warnings: list[str] = Field(description="What to know before relying on them; none as a rule.")
    image: ImageFields | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a tool call, in words and structured."""

    text: str
    structured: Mapping[str, Any]


def caption_result(told: CaptionAnswer) -> ToolResult:
    """Make the result of a caption."""
    result = CaptionResult(
        caption=told.caption,
        model=told.model,
        finish_reason=told.finish_reason,
        confidence=told.confidence,
        warnings=told.warnings,
        image=told.image,
    )
    return _result([_cut(told.caption, told.finish_reason), *_warned(told.warnings)], result)


def ask_result(questions: Sequence[str], told: VqaAnswer) -> ToolResult:
    """Make the result of some questions.

    Raises:
        ValueError: there are not as many answers.
    """
    count = len(questions)
    confidences: Sequence[float | None] = told.confidences or [None] * count
    offered: Sequence[list[ChoiceFields] | None] = told.choices_by_question or [None] * count
    rows = zip(questions, told.answers or (), told.finish_reasons or (), confidences, offered, strict=True)
    answers = [
        AnswerResult(question=question, answer=answer, finish_reason=reason, confidence=confidence, choices=choices)
        for question, answer, reason, confidence, choices in rows
    ]
    shown = [_cut(each.answer, each.finish_reason) for each in answers]
    lines = shown if count == 1 else [f"{q}\n{a}" for q, a in zip(questions, shown, strict=True)]
    result = AskResult(answers=answers, model=told.model, warnings=told.warnings, image=told.image)
    return _result([*lines, *_warned(told.warnings)], result)


def estimate_result(told: Estimate) -> ToolResult:
    """Make the result of an estimate."""
    seconds = told.seconds
    lines = [
        f"About {seconds.total:.2g} s on this server now, at most; {seconds.queue or 0:.2g} s of it waiting."
        if seconds.total is not None
        else f"The time is not known: {seconds.unknown or 'nothing was measured yet'}.",
        f"{told.prompt_tokens} prompt tokens, at most {told.max_completion_tokens} generated ones, "
        f"{told.image_tokens} image tokens; {told.flops.total:.2g} FLOPs.",
    ]
    if told.features_resident:
        lines.append("The image is encoded already.")
    return _result([*lines, *_warned(told.warnings)], told)


def _result(lines: Sequence[str], structured: BaseModel) -> ToolResult:
    return ToolResult("\n".join(lines), structured.model_dump(mode="json"))


def _cut(text: str, reason: FinishReason) -> str:
    return f"{text} [cut short by max_tokens]" if reason == "length" else text


def _warned(warnings: Sequence[str]) -> Iterator[str]:
    """Tell of each warning, by its own word where there is no sentence for it."""
    for warning in warnings:
        yield f"Warning: {warning}: {_WARNINGS[warning]}." if warning in _WARNINGS else f"Warning: {warning}."
