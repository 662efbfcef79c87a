"""Answers as a Parquet file, which has no half: written whole at the end of a run, from JSON Lines kept beside it.

Owns the columns. Needs pyarrow, an extra, which is imported when a file is opened. One thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from model.whole_files import path_appearing_whole
from service.batch.results.appended import ResultsError, no_result
from service.batch.results.jsonl import ResultFile
from service.batch.results.records import AnswerTerms, Record, is_record
from service.batch.task import ImagePlace, Question, TaskOutcome

NO_PYARROW = "Parquet needs the package pyarrow; install the extra pheye-service[parquet], or name a file .jsonl"


class ParquetResults:
    """A Parquet file of answers that is there whole or not at all, and can be continued.

    Answers are appended to OUT.parquet.jsonl while the run goes on; that file is what an interrupted run continues
    from, and it is removed when OUT.parquet has been written. A run that finds OUT.parquet alone continues from it.

    Args:
        path: of the Parquet file.

    Raises:
        ResultsError: pyarrow is missing, or what is there holds other things.
        OSError: it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        if find_spec("pyarrow") is None:
            raise ResultsError(f"{path}: {NO_PYARROW}")
        place = Path(os.path.realpath(path))  # under whatever name a run knows it, the lines are the same
        self._path, self._lines, self._given = path, place.with_name(place.name + ".jsonl"), 0
        self._open = ResultFile(self._lines, self._earlier)
        try:
            records = self._open.read_back()
            _check(self._lines, records)
            self._check_theirs(records)
        except BaseException:
            self._open.close()
            raise

    def _earlier(self) -> list[Record]:
        records = _read(self._path) if self._path.exists() else []
        self._given = len(records)
        return records

    def _check_theirs(self, records: list[Record]) -> None:
        """Check that the lines go on from the Parquet file that is there, so that writing it anew loses nothing.

        A run that ended before its time leaves lines, and their file may have been replaced by another one since.
        """
        there = _read(self._path) if self._path.exists() else []
        if there != _as_read(records[: len(there)]):
            raise ResultsError(
                f"{self._path}: the answers of an unfinished run in {self._lines} do not go on from this file, which "
                f"is another one; move {self._lines.name} away, or choose another file with --jsonl"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def begin(self, terms: AnswerTerms) -> None:
        """Say under which terms answers will be given; before anything else is asked of the file."""
        self._open.begin(terms)

    def has(self, image: ImagePlace, question: Question) -> bool:
        """Say whether this model's answer is in the file; raises as `ResultFile.has`."""
        return self._open.has(image, question)

    def notes(self, questions: Iterable[Question]) -> list[str]:
        """Tell in words of the answers in the file that this run does not ask for."""
        return self._open.notes(questions)

    def add(self, outcome: TaskOutcome) -> None:
        """Write the lines of one image beside the Parquet file."""
        self._open.add(outcome)

    def finish(self) -> None:
        """Write the Parquet file, and remove the lines beside it.

        Raises:
            ResultsError: the lines are not those that were written, or do not go on from the file.
            OSError: it cannot be written; the lines stay, and the next run continues from them.
        """
        records = self._open.read_back()
        self._check_theirs(records)  # it may have been replaced during the run too
        if len(records) > self._given or not self._path.exists():
            _write(self._path, records)
        self._lines.unlink()  # while they are locked
        self._open.close()


def answer_schema() -> Any:
    """Return the columns: the same for every run, so that the files of several shards are one table."""
    import pyarrow as pa

    text, texts = pa.string(), pa.list_(pa.string())
    file = {"format": text, "width": pa.int64(), "height": pa.int64(), "frames": pa.int64(),
            "has_transparency": pa.bool_()}  # fmt: skip
    settings = {"max_tokens": pa.int64(), "temperature": pa.float64(), "top_p": pa.float64(), "seed": pa.int64(),
                "stop": texts}  # fmt: skip
    return pa.schema({
        "image": text, "image_base64": text, "length": text, "style": text, "question": text, "answer_style": text,
        "choices": texts, "caption": text, "answer": text, "finish_reason": text, "confidence": pa.float64(),
        "probabilities": pa.list_(pa.float64()), "file": pa.struct(file), "warnings": texts, "model": text,
        "settings": pa.struct(settings), "error": text,
    })  # fmt: skip


def _write(path: Path, records: list[Record]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist(records, schema=answer_schema())
    with path_appearing_whole(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def _read(path: Path) -> list[Record]:
    """Read the records of a Parquet file of ours."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, partitioning=None)
    except pa.ArrowException:
        raise ResultsError(f"{path}: this is no Parquet file; choose another one") from None
    if not table.schema.equals(answer_schema()):
        raise ResultsError(f"{path}: this is not a file of results; choose another one")
    records = [_present(row) for row in table.to_pylist()]
    if not all(map(is_record, records)):
        raise ResultsError(f"{path}: this is not a file of results; choose another one")
    return records


def _as_read(records: list[Record]) -> list[Record]:
    """Return records as they are read from the file that they are written to."""
    import pyarrow as pa

    return [_present(row) for row in pa.Table.from_pylist(records, schema=answer_schema()).to_pylist()]


def _check(lines: Path, records: list[Record]) -> None:
    """Check that every record has a row, before there are more of them."""
    import pyarrow as pa

    schema = answer_schema()
    columns = set(schema.names)

    def has_rows(some: list[Record]) -> bool:
        try:
            pa.Table.from_pylist(some, schema=schema)
        except (pa.ArrowException, ValueError, TypeError, OverflowError):
            return False
        return all(each.keys() <= columns for each in some)

    if not has_rows(records):
        raise no_result(lines, next(number for number, each in enumerate(records, start=1) if not has_rows([each])))


def _present(row: Record) -> Record:
    """Leave out what a record does not have: a column has a place for it in every row."""
    kept = {key: value for key, value in row.items() if value is not None}
    return {key: _present(value) if isinstance(value, dict) else value for key, value in kept.items()}
