"""Importer of tables: CSV and TSV as spreadsheets write them, and JSON Lines with a row in each.

Knows no tensors. Any thread or process.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from model.data.fields import DataError
from model.data.importers.columns import ColumnNames, TableColumns, find_columns, row_turns
from model.data.importers.importing import FoundSample, ImportRefused, Remark
from model.data.json_stream import stream_items
from model.data.texts import encoding_of, guessed
from model.pixels.image_names import IMAGE_SUFFIXES
from model.prompt import AnswerStyle

_DELIMITERS = (",", ";", "\t", "|")
_MOST_CELL_CHARACTERS = 1 << 24  # more than any text; Python's own bound of 131,072 may be less than one
_JSON = (".json", ".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class TableOptions:
    """Options of a table.

    Attributes:
        columns: as the user names them.
        instruction: what a caption answers.
        style: the response formatting prompt of a question.
        header: names for the columns of a file whose first line has none.
        delimiter: between columns; None finds it.
    """

    columns: ColumnNames
    instruction: str
    style: AnswerStyle
    header: tuple[str, ...] = ()
    delimiter: str | None = None


def table_samples(file: Path, images: Path, options: TableOptions) -> Iterator[FoundSample | Remark]:
    """Read a row for each turn.

    Args:
        file: with a header line, unless the options name the columns.
        images: the folder that the paths begin in.
        options: which columns matter.

    Raises:
        ImportRefused: a column is not there, or no row.
        DataError, OSError: the file cannot be read.
    """
    rows = _json_rows(file) if file.suffix.lower() in _JSON else _csv_rows(file, options)
    columns: TableColumns | None = None
    for where, row in rows:
        if isinstance(row, Remark):
            yield row
            continue
        columns = columns or find_columns(list(row), options.columns, str(file))
        try:
            turns = row_turns(row, columns, options.instruction, options.style)
            name = row.get(columns.image)
            if not isinstance(name, str) or not name.strip():
                raise DataError(f"row with no path in {columns.image}")
            if "://" in name:
                raise DataError("row whose image is a URL: fetch it first")
        except DataError as error:
            yield Remark(str(error), where)
            continue
        yield FoundSample(where, (images / name.strip().replace("\\", "/"), images / name), turns)


def _json_rows(file: Path) -> Iterator[tuple[str, Mapping[str, Any] | Remark]]:
    for record in stream_items(file):
        yield record.where, record.values


def _csv_rows(file: Path, options: TableOptions) -> Iterator[tuple[str, Mapping[str, Any] | Remark]]:
    encoding = encoding_of(file)
    if words := guessed(file, encoding):
        yield str(file), Remark(words.removeprefix(f"{file}: "), str(file), skipped=False)
    csv.field_size_limit(_MOST_CELL_CHARACTERS)
    with file.open(encoding=encoding, newline="") as stream:
        number = 1
        try:
            delimiter = options.delimiter or _delimiter(file, stream.readline())
            stream.seek(0)
            reader = csv.reader(stream, delimiter=delimiter, strict=True)
            header = list(options.header) or next(reader, [])
            _check_header(file, header)
            for cells in reader:
                number = reader.line_num
                if cells:
                    yield f"{file}, line {number}", _row(file, number, header, cells)
        except csv.Error as error:
            raise DataError(f"{file}, line {reader.line_num}: {error}; is a quote not closed?") from None
        except UnicodeError as error:
            raise DataError(f"{file}, behind line {number}: cannot be read as {encoding}: {error}") from None


def _row(file: Path, number: int, header: Sequence[str], cells: Sequence[str]) -> Mapping[str, Any] | Remark:
    if len(cells) > len(header) and any(cell.strip() for cell in cells[len(header) :]):
        return Remark(
            "row with more cells than the header has; put texts with commas in quotes", f"{file}, line {number}"
        )
    return dict(zip(header, cells, strict=False))


def _check_header(file: Path, header: Sequence[str]) -> None:
    if not header:
        raise ImportRefused(f"{file}: there is nothing in it")
    if any(PurePath(name).suffix.lower() in IMAGE_SUFFIXES for name in header):
        raise ImportRefused(f"{file}: its first line has no names of columns; give them, --header image,caption")
    twice = [name for name in header if name and header.count(name) > 1]
    if twice:
        raise ImportRefused(f"{file}: two columns are called {twice[0]!r}")


def _delimiter(file: Path, first: str) -> str:
    """Return what divides the first line most often; a file of one column is no table of images."""
    if file.suffix.lower() in (".tsv", ".tab"):
        return "\t"
    return max(_DELIMITERS, key=first.count)
