"""Manifest reader, for held-out images in the same format that `pheye train` learns from. Any thread or process."""

from __future__ import annotations

from pathlib import Path

from model.data.manifest import ManifestError, read_manifest
from model.evaluation.case import Case, Kind
from model.evaluation.metrics.word_f1 import kind_by_length

_OF_TEN_PEOPLE: tuple[Kind, ...] = ("vqa10", "textvqa10")


def read_manifest_cases(file: Path, kind: Kind | None = None) -> list[Case]:
    """Read the cases of a manifest; responses to the same instruction about the same image are references of one case.

    Args:
        file: JSON lines with image, instruction and response.
        kind: how answers are judged; None judges each by the length of its first response, as `pheye train` does.

    Raises:
        ManifestError: lines are not what they should be, or answers of ten people are needed to judge so.
    """
    if kind in _OF_TEN_PEOPLE:  # one right answer, and none that others agree with, would be worth nothing
        raise ManifestError(
            f"kind: {kind} counts the people who agree, and a manifest has each answer once; choose exact or words"
        )
    source = read_manifest(file)
    cases = []
    for number, (image, turns) in enumerate(zip(source.images, source.turns, strict=True)):
        for place, instruction in enumerate(dict.fromkeys(turn.instruction for turn in turns)):
            said = tuple(turn.response for turn in turns if turn.instruction == instruction)
            cases.append(Case(f"{number}.{place}", image, instruction, said, kind or kind_by_length(said[0])))
    return cases
