"""Entries of TextVQA's and TextCaps' files, which are about the same images. Pure; any thread or process."""

from __future__ import annotations

from model.data.fields import Record


def image_name(entry: Record) -> str:
    """Return the file name of an entry's image.

    Raises:
        DataError: it names none.
    """
    return f"{entry.text('image_id')}.jpg"


def people_s_answers(entry: Record) -> tuple[str, ...]:
    """Return every answer that people gave to TextVQA's question; none in the test split.

    Raises:
        DataError: something else is there.
    """
    return entry.texts("answers") if entry.has("answers") else ()
