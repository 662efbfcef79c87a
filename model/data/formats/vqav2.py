"""Entries of VQAv2's questions and annotations; OK-VQA's files are of the same form. Pure; any thread or process."""

from __future__ import annotations

from collections import Counter

from model.data.fields import Record


def image_name(question: Record, split: str) -> str:
    """Return the file name that COCO's 2014 images have, and VQA's test images of 2015.

    Raises:
        DataError: the question names no image.
    """
    folder = "test2015" if split == "test-dev2015" else split  # test-dev asks about a part of the test images
    return f"COCO_{folder}_{question.whole('image_id'):012d}.jpg"


def people_s_answers(annotation: Record) -> tuple[str, ...]:
    """Return every answer that people gave, in their order.

    Raises:
        DataError: there is none, or one is no text.
    """
    return tuple(each.text("answer") for each in annotation.records("answers"))


def most_common(answers: tuple[str, ...]) -> str:
    """Return the answer that most people gave; of equally many the one that was given first.

    >>> most_common(("net", "netting", "mesh", "netting"))
    'netting'
    """
    return Counter(answers).most_common(1)[0][0]
