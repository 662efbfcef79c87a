"""`pheye manifest`: a command for each kind of data that becomes a manifest for `pheye train`, and its check.

Those of the public data sets are `service.cli.manifest.public`'s. Each turns its words into a reader of
`model.data.importers` and hands it to `service.cli.manifest.options`. Main thread only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.manifest.check import check
from service.cli.manifest.options import (
    MANIFEST,
    CaptionOptions,
    ColumnOptions,
    importing,
    instruction_of,
    table_options,
    write,
)
from service.cli.manifest.public import a_okvqa, gqa, ocr_vqa, st_vqa, textcaps, textvqa, vqav2
from service.cli.options.dataclass_options import take
from service.cli.options.flags import fail
from service.cli.options.shared_options import IMAGES

manifest = typer.Typer(
    name="manifest",
    help="Write a manifest for `pheye train` from data in other forms, or check one.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@manifest.command()
@importing(CaptionOptions)
def folder(
    pictures: Annotated[Path, typer.Argument(metavar="PICTURES", help="A folder; folders in it are walked too.")],
    file: MANIFEST,
    captions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A text file: each line has a picture's name, a tab, comma or colon, and its caption; or captions "
            "alone, in the order of the names. Without it a.txt beside a.jpg is the caption.",
        ),
    ] = None,
    **words: Any,
) -> None:
    """A folder of pictures with captions."""
    from model.data.importers.folder import folder_samples

    asked, rest = take(CaptionOptions, words)
    sources = [captions] if captions else []
    write(lambda: folder_samples(pictures, captions, instruction_of(asked)), file, sources, rest)


@manifest.command()
@importing(CaptionOptions, ColumnOptions)
def csv(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="CSV, TSV, or JSON Lines with a row on each line.")],
    file: MANIFEST,
    images: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where the images are; by default the table's folder.")
    ] = None,
    header: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Names of the columns, by comma, of a file that has none.")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(metavar="CHARACTER", help="What divides columns; found by default.")
    ] = None,
    **words: Any,
) -> None:
    """A table of image files with captions, or questions and answers."""
    from model.data.importers.table import table_samples

    if delimiter is not None and len(delimiter := delimiter.replace("\\t", "\t")) != 1:
        fail(f"--delimiter: {delimiter!r} is not one character")
    asked, rest = table_options(words, header, delimiter)
    write(lambda: table_samples(table, images or table.parent, asked), file, [table], rest, images)


@manifest.command()
@importing(CaptionOptions, ColumnOptions)
def hugging_face(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A folder that `datasets` saved, or a hub id.")],
    file: MANIFEST,
    split: Annotated[str, typer.Option(help="Which part.")] = "train",
    config: Annotated[str | None, typer.Option(help="Which configuration; by default the data set's own.")] = None,
    **words: Any,
) -> None:
    """A data set of Hugging Face's package `datasets`.

    Its images are written beside the manifest, into a folder named after it.
    """
    from model.data.importers.hugging_face import HuggingFaceSource, hugging_face_samples

    asked, rest = table_options(words)
    pictures = file.with_name(f"{file.stem}-images")
    write(lambda: hugging_face_samples(HuggingFaceSource(name, config, split), pictures, asked), file, [], rest)


@manifest.command()
@importing()
def llava(
    data: Annotated[Path, typer.Argument(metavar="FILE", help="A JSON list or JSON Lines of conversations.")],
    file: MANIFEST,
    images: IMAGES,
    without: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Leave out samples with this in the image's path or the first question."),
    ] = None,
    **words: Any,
) -> None:
    """LLaVA's conversation JSON; ShareGPT4V and LLaVAR too."""
    from model.data.importers.llava import llava_samples

    write(lambda: llava_samples(data, images, without or ()), file, [data], words, images)


for public in (vqav2, textvqa, st_vqa, textcaps, gqa, ocr_vqa, a_okvqa):
    manifest.command()(public)


@manifest.command()
@importing()
def easy_vqa(file: MANIFEST, **words: Any) -> None:
    """easy-VQA: the training split of the package."""
    from model.data.importers.easy_vqa import training_samples

    write(training_samples, file, [], words)


manifest.command()(check)
