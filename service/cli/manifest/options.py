"""Options that the importers of `pheye manifest` share, and the way from a reader to a manifest and what is told of it.

Knows no data set. Main thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from model.prompt import CaptionLength, CaptionStyle, caption_instruction
from service.cli.options.dataclass_options import Command, options, take
from service.cli.options.flags import fail, fail_for

if TYPE_CHECKING:
    from model.data.importers.importing import FoundSample, ImportReport, Remark
    from model.data.importers.table import TableOptions

EXIT_INTERRUPTED = 130
_TOLD_EVERY = 500  # entries between two updates of the line that shows the progress

MANIFEST = Annotated[Path, typer.Argument(metavar="MANIFEST", help="The manifest to write, such as mine.jsonl.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """The options of every importer."""

    missing: Annotated[
        Literal["skip", "refuse"],
        typer.Option(help="What to do about images that are not there: skip and tell, or end."),
    ] = "skip"
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a manifest that is there already.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionOptions:
    """Options that say what a caption answers."""

    length: Annotated[CaptionLength, typer.Option(help="The instruction of `pheye caption` with this length.")] = (
        "normal"
    )
    style: Annotated[CaptionStyle, typer.Option(help="Or with this style.")] = "plain"
    instruction: Annotated[str | None, typer.Option(metavar="TEXT", help="Or an instruction of your own.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnOptions:
    """Options that say which columns of a table matter."""

    image: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column of the image; by default one of a usual name.")
    ] = None
    question: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column of the question, if any.")] = None
    response: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column of the answer or caption.")] = None
    answer_style: Annotated[
        Literal["sentence", "short"],
        typer.Option(help="short adds the prompt that asks for a word or phrase to every question."),
    ] = "sentence"


def importing(*kinds: type[Any]) -> Callable[[Command], Command]:
    """Replace a command's `**words` by these options and `ImportOptions`."""
    return options(*kinds, ImportOptions)


def instruction_of(asked: CaptionOptions) -> str:
    """Return the instruction that captions answer."""
    if asked.instruction is not None and not asked.instruction.strip():
        fail("--instruction: there is nothing in it")
    return (asked.instruction or caption_instruction(asked.length, asked.style)).strip()


def table_options(
    words: Mapping[str, Any], header: str | None = None, delimiter: str | None = None
) -> tuple[TableOptions, dict[str, Any]]:
    """Split a command's values into the options of a table and the rest."""
    from model.data.importers.columns import ColumnNames
    from model.data.importers.table import TableOptions

    caption, rest = take(CaptionOptions, words)
    column, rest = take(ColumnOptions, rest)
    names = tuple(name.strip() for name in header.split(",")) if header else ()
    columns = ColumnNames(column.image, column.question, column.response)
    return TableOptions(columns, instruction_of(caption), column.answer_style, names, delimiter), rest


def write(
    read: Callable[[], Iterable[FoundSample | Remark]],
    file: Path,
    sources: Sequence[Path],
    words: Mapping[str, Any],
    images: Path | None = None,
) -> None:
    """Write what a reader finds, and tell of it; ends the command if that is nothing.

    Args:
        read: starts the reader.
        file: the manifest.
        sources: the files that are read.
        words: `ImportOptions`.
        images: a folder that must be there.
    """
    from model.data.importers.importing import check_target, write_import

    asked, _ = take(ImportOptions, words)
    if images is not None and not images.is_dir():
        fail(f"--images: {shown(images)}: there is no such folder")
    try:
        check_target(file, sources, overwrite=asked.overwrite)
        report = write_import(_followed(read), file, asked.missing)
    except KeyboardInterrupt:
        typer.echo(f"pheye: interrupted; {shown(file)} is as it was", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except (ValueError, OSError) as error:
        fail_for(error, shown(error))
    _tell(report, file)


def _followed(read: Callable[[], Iterable[FoundSample | Remark]]) -> Iterator[FoundSample | Remark]:
    """Show on a terminal how many entries have been read."""
    with Console(stderr=True).status("reading") as status:
        for number, each in enumerate(read(), start=1):
            if number % _TOLD_EVERY == 0:
                status.update(f"{number:,} entries read")
            yield each


def _tell(report: ImportReport, file: Path) -> None:
    typer.echo(f"{report.lines} lines about {report.images} images in {shown(file)}")
    if report.skipped:
        typer.echo(f"pheye: {report.skipped} skipped", err=True)
    for text in report.told():
        typer.echo(f"       {shown(text)}", err=True)
    typer.echo(f"pheye: look at it with `pheye manifest check {shown(file)}`", err=True)


def shown(text: object) -> str:
    """Return text that any terminal shows: what is not printable, and names that are not UTF-8, in escapes."""
    return "".join(
        character if character.isprintable() or character == "\n" else repr(character)[1:-1] for character in str(text)
    )
