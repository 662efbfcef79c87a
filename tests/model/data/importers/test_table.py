"""Tables: columns are found by their names, or named; rows that cannot be used are counted and named."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.data.fields import DataError
from model.data.importers.columns import ColumnNames
from model.data.importers.importing import ImportRefused, write_import
from model.data.importers.table import TableOptions, table_samples
from model.data.manifest import read_manifest
from tests.model.data.importers.test_public import Said, said
from tests.support import datasets

USUAL = TableOptions(ColumnNames(), "Tell me", "sentence")
SHORT = "\nAnswer the question using a single word or phrase"


def imported(
    folder: Path, text: str | bytes, options: TableOptions = USUAL, name: str = "t.csv"
) -> tuple[Said, list[str]]:
    datasets.picture(folder / "a.jpg")
    datasets.picture(folder / "sub" / "b.jpg", 1)
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    report = write_import(table_samples(file, folder, options), folder / "mine.jsonl")
    return said(read_manifest(folder / "mine.jsonl")), [text.replace(str(file), "FILE") for text in report.told()]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('image,caption\r\na.jpg,"A ""red"", bus"\r\nsub/b.jpg,Two\r\n', "t.csv"),
        ('File Name;id;Text\na.jpg;1;"A ""red"", bus"\nsub\\b.jpg;2;Two\n', "t.csv"),
        ('caption\timage_path\n"A ""red"", bus"\ta.jpg\nTwo\tsub/b.jpg\n', "t.tsv"),
        ('image\tcaption\na.jpg\tA "red", bus\nsub/b.jpg\tTwo\n'.encode("utf-16"), "t.txt"),
        (
            b"\xef\xbb\xbf"
            + b'{"file_name": "a.jpg", "text": "A \\"red\\", bus"}\n{"file_name": "sub/b.jpg", "text": "Two"}',
            "m.jsonl",
        ),
    ],
    ids=["csv", "semicolon", "tsv", "utf-16", "jsonl"],
)
def test_captions_are_found_by_the_names_of_columns(text: str | bytes, name: str, tmp_path: Path) -> None:
    found, told = imported(tmp_path, text, name=name)
    assert found == [("a.jpg", "Tell me", 'A "red", bus'), ("b.jpg", "Tell me", "Two")]
    assert told == []


def test_questions_have_answers_and_may_ask_for_a_word(tmp_path: Path) -> None:
    text = "image,question,caption,answer\na.jpg,What?,A bus,bus\n"
    assert imported(tmp_path, text)[0] == [("a.jpg", "What?", "bus")]
    short = TableOptions(ColumnNames(), "Tell me", "short")
    assert imported(tmp_path, text, short)[0] == [("a.jpg", "What?" + SHORT, "bus")]
    named = TableOptions(ColumnNames("image", "answer", "caption"), "Tell me", "sentence")
    assert imported(tmp_path, text, named)[0] == [("a.jpg", "bus", "A bus")]


def test_line_ends_of_windows_become_plain_ones(tmp_path: Path) -> None:
    found, _ = imported(tmp_path, 'image,caption\r\na.jpg,"One\r\ntwo\r"\r\n')
    assert found == [("a.jpg", "Tell me", "One\ntwo")]


def test_choices_are_answered_by_a_letter(tmp_path: Path) -> None:
    row = '{"image": "a.jpg", "question": "Which?", "choices": ["bus", "car"], "correct_choice_idx": %d}\n'
    found, told = imported(tmp_path, row % 1 + row % 2, name="t.jsonl")
    prompt = "Answer with the option's letter from the given choices directly."
    assert found == [("a.jpg", f"Which?\nA. bus\nB. car\n{prompt}", "B")]
    assert told == ["row whose right answer is not among its choices: FILE: line 2"]


def test_a_file_without_a_header_is_told_apart_and_can_be_given_one(tmp_path: Path) -> None:
    text = "a.jpg|A bus\n"
    with pytest.raises(ImportRefused, match=r"its first line has no names of columns; give them, --header"):
        imported(tmp_path, text)
    given = TableOptions(ColumnNames(), "Tell me", "sentence", ("image", "caption"), "|")
    assert imported(tmp_path, text, given)[0] == [("a.jpg", "Tell me", "A bus")]


def test_rows_that_cannot_be_used_are_skipped_and_named(tmp_path: Path) -> None:
    rows = ["a.jpg,Caf\xe9", "a.jpg", "a.jpg,A, B", ",Nothing", "gone.jpg,Gone", "http://x/a.jpg,Far", "", "a.jpg, "]
    found, told = imported(tmp_path, "\n".join(["image,caption", *rows]).encode("latin-1"))
    assert found == [("a.jpg", "Tell me", "Café")]
    assert [text.replace(f"{tmp_path}/", "") for text in told] == [
        "row with no text in caption: FILE, line 3",
        "row with more cells than the header has; put texts with commas in quotes: FILE, line 4",
        "row with no path in image: FILE, line 5",
        "image file missing: gone.jpg (FILE, line 6)",
        "row whose image is a URL: fetch it first: FILE, line 7",
        "turn without an answer: FILE, line 9",
        "not UTF-8; read as cp1252. Save it as UTF-8 if letters look wrong: FILE",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,what\na.jpg,x\n", "which column has the response\\? Name it by --response; there are 'image', 'what'"),
        ("a,caption\na.jpg,x\n", "which column has the image\\? Name it by --image; there are 'a', 'caption'"),
        ("image,image,caption\n", "two columns are called 'image'"),
        ("", "there is nothing in it"),
        ("image,caption\n", "not written, for nothing was found to write"),
    ],
    ids=["response", "image", "twice", "empty", "header alone"],
)
def test_a_table_without_what_is_needed_is_refused(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match=words):
        imported(tmp_path, text)


def test_a_quote_that_is_not_closed_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t\.csv, line 3: .*; is a quote not closed\?"):
        imported(tmp_path, 'image,caption\na.jpg,"A bus\nb.jpg,Two\n')


def test_a_column_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="--response: there is no column 'x'; there are 'image', 'caption'"):
        imported(tmp_path, "image,caption\na.jpg,b\n", TableOptions(ColumnNames(response="x"), "Tell me", "sentence"))


def test_lists_without_end_in_each_other_are_no_caption(tmp_path: Path) -> None:
    deep = "[" * 900 + '"A bus"' + "]" * 900
    lines = [f'{{"image": "a.jpg", "caption": {value}}}' for value in (deep, '[["A bus"]]')]
    found, told = imported(tmp_path, "\n".join(lines), name="m.jsonl")
    assert found == [("a.jpg", "Tell me", "A bus")]
    assert told == ["row with lists and objects too deep in each other in caption: FILE: line 1"]


def test_a_number_without_end_is_no_caption(tmp_path: Path) -> None:
    lines = [f'{{"image": "a.jpg", "caption": {value}}}' for value in ("1e400", "-Infinity", "NaN", "[1, 1e999]", "7")]
    found, told = imported(tmp_path, "\n".join(lines), name="m.jsonl")
    assert found == [("a.jpg", "Tell me", "7")]
    where = "FILE: line 1, FILE: line 2, FILE: line 3 and 1 more"
    assert told == [f"4 x row with a number that is not finite in caption: {where}"]


def test_what_cannot_be_read_is_named_and_not_the_manifest(tmp_path: Path) -> None:
    row = '{"image": "a.jpg", "caption": "A bus"}\n'
    with pytest.raises(DataError, match=r"m\.jsonl: line 2: lists and objects too deep"):
        imported(tmp_path, row + '{"caption": ' + "[" * 5000 + "]" * 5000 + "}", name="m.jsonl")
    with pytest.raises(DataError, match=r"t\.csv, behind line 2: cannot be read as utf-16"):
        imported(tmp_path, "image,caption\na.jpg,A bus\n".encode("utf-16") + b"\0")
