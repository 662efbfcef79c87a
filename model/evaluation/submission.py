"""Submission files for the data sets' evaluation servers, for splits whose references are not public.

Pure; any thread or process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model.evaluation.record import CaseAnswer


@dataclass(frozen=True, slots=True)
class SubmissionFormat:
    """Keys that a server wants for a case and its answer, and whether the case's name is a number there."""

    case: str
    answer: str
    numbered: bool


QUESTIONS = SubmissionFormat("question_id", "answer", numbered=True)  # VQAv2, TextVQA
NUMBERED_IMAGES = SubmissionFormat("image_id", "caption", numbered=True)  # NoCaps
NAMED_IMAGES = SubmissionFormat("image_id", "caption", numbered=False)  # TextCaps


def submission(answers: Sequence[CaseAnswer], form: SubmissionFormat) -> list[dict[str, Any]]:
    """Return the list of objects that such a server takes, to be written as JSON."""
    return [
        {form.case: int(each.case.id) if form.numbered else each.case.id, form.answer: each.answer.strip()}
        for each in answers
    ]
