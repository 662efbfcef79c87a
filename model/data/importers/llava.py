"""Importer of LLaVA's conversation JSON, the form in which most instruction data are shared.

Also reads what others made of it: ShareGPT4V and LLaVAR (the image mark at the end of a question, identifiers that are
numbers, samples without an image), chat messages with `role` and `content`, one JSON list or JSON Lines. A manifest's
turns stand alone, so each question gets the response formatting prompt that its conversation began with. Knows no
tensors. Any thread or process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from model.data.fields import DataError, Record
from model.data.importers.importing import FoundSample, Remark
from model.data.json_stream import stream_items
from model.data.samples import Turn
from model.prompt import CHOICE_ANSWER, SCENE_TEXT_CAPTION, SHORT_ANSWER, caption_instruction

MARK = "<image>"
OCR = "OCR tokens taken out of a question"
_ASKING, _ANSWERING = ("human", "user"), ("gpt", "assistant", "model")
_OCR_LINE = re.compile(r"^Reference OCR tokens?:.*(?:\n|\Z)", re.MULTILINE)
_SHORT_WORDS = 5  # an answer this short may have been asked for as a word or phrase
_SPACE = re.compile(r"[ \t]*\n[ \t]*\n*")


def llava_samples(file: Path, images: Path, without: Sequence[str] = ()) -> Iterator[FoundSample | Remark]:
    """Read samples, a conversation each.

    Args:
        file: a JSON list, or JSON Lines.
        images: the folder that the samples' paths begin in.
        without: leave out samples that have one of these texts in the path of their image or in their first question.

    Raises:
        DataError: the file is neither.
    """
    for record in stream_items(file):
        where = _named(record)
        try:
            image = _image(record)
            turns, remarks = conversation(where, _messages(record))
            if any(text in image or (turns and text in turns[0].instruction) for text in without):
                yield Remark("sample left out by --without", where)
                continue
        except DataError as error:
            yield Remark(str(error).removeprefix(f"{record.where}: "), where)
            continue
        yield from remarks
        if turns:
            yield FoundSample(where, (images / image,), turns)


def conversation(where: str, messages: Sequence[Any]) -> tuple[tuple[Turn, ...], list[Remark]]:
    """Read the messages of one conversation, as turns that stand alone.

    Args:
        where: its place.
        messages: with `from` and `value`, or with `role` and `content`.

    Raises:
        DataError: something in it is no message, or it is about several images.
    """
    said = [_message(each) for each in messages]
    if sum(text.count(MARK) for _, text in said) > 1:
        raise DataError("conversation about several images")
    turns: list[Turn] = []
    remarks: list[Remark] = []
    question: str | None = None
    for who, text in said:
        if who in _ASKING:
            if question is not None:
                remarks.append(Remark("question without an answer", where))
            question = text
        elif who in _ANSWERING and question is not None:
            turns.append(_turn(question, text, turns))
            if _OCR_LINE.search(question):
                remarks.append(Remark(OCR, where, skipped=False))
            question = None
        elif who in _ANSWERING:
            remarks.append(Remark("answer without a question", where))
    if question is not None or not turns:
        remarks.append(Remark("question without an answer", where))
    return tuple(turns), remarks


def _turn(question: str, answer: str, before: Sequence[Turn]) -> Turn:
    words = _SPACE.sub("\n", question.replace(MARK, "")).strip()
    instruction = _in_our_words(_OCR_LINE.sub("", words).strip(), scene_text=bool(_OCR_LINE.search(words)))
    asked_shortly = bool(before) and before[0].instruction.endswith(f"\n{SHORT_ANSWER}")
    if asked_shortly and SHORT_ANSWER not in instruction and len(answer.split()) <= _SHORT_WORDS:
        instruction = f"{instruction}\n{SHORT_ANSWER}"  # said once, at the beginning of the conversation
    return Turn(instruction, answer)


def _in_our_words(instruction: str, *, scene_text: bool) -> str:
    """Write the response formatting prompts of LLaVA 1.5 as the paper's Table 3 has them, to the letter."""
    caption = caption_instruction("short")
    if instruction.rstrip(".") == caption:
        return SCENE_TEXT_CAPTION if scene_text else caption
    question, _, last = instruction.rpartition("\n")
    if question and last.rstrip(".") == SHORT_ANSWER:
        return f"{question}\n{SHORT_ANSWER}"
    if question and last.replace("\u2019", "'").rstrip(".") == CHOICE_ANSWER.rstrip("."):
        return f"{question}\n{CHOICE_ANSWER}"
    return instruction


def _image(record: Record) -> str:
    """Return the path of the one image a sample is about."""
    given = record.values.get("image", record.values.get("images"))
    if not given:
        raise DataError("sample without an image")
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    if isinstance(given, list):
        raise DataError("sample with several images")
    if not isinstance(given, str):
        raise DataError("sample whose image is no path")
    if re.match(r"(?i)https?://|data:", given):
        raise DataError("sample whose image is a URL: fetch it first")
    return given


def _messages(record: Record) -> list[Any]:
    for key in ("conversations", "messages"):
        found = record.values.get(key)
        if isinstance(found, list):
            return found
    raise DataError("sample without conversations")


def _message(message: Any) -> tuple[str, str]:
    if not isinstance(message, Mapping):
        raise DataError("conversation with something that is no message")
    who = message.get("from", message.get("role"))
    text = message.get("value", message.get("content"))
    if isinstance(text, list):  # parts, as chats have them
        kinds = [part.get("type") for part in text if isinstance(part, Mapping)]
        words = [str(part["text"]) for part in text if isinstance(part, Mapping) and "text" in part]
        text = "\n".join([*[MARK] * sum(kind in ("image", "image_url") for kind in kinds), *words])
    if not isinstance(who, str) or not isinstance(text, str):
        raise DataError("conversation with a message that has no speaker or no text")
    return who.lower(), text


def _named(record: Record) -> str:
    """Return the place of a sample with its identifier, a text or a number, by which people look for it."""
    name = record.values.get("id")
    return f"{record.where} (id {name})" if isinstance(name, str | int) else record.where
