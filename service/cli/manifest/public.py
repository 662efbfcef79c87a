"""Importers of the public data sets as commands, with the response formatting prompts of the paper's Table 3.

Main thread only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from service.cli.manifest.options import MANIFEST, importing, write
from service.cli.options.shared_options import IMAGES


@importing()
def vqav2(
    questions: Annotated[
        Path, typer.Argument(metavar="QUESTIONS", help="v2_OpenEnded_mscoco_train2014_questions.json.")
    ],
    annotations: Annotated[Path, typer.Argument(metavar="ANNOTATIONS", help="v2_mscoco_train2014_annotations.json.")],
    file: MANIFEST,
    images: IMAGES,
    **words: Any,
) -> None:
    """VQAv2 or OK-VQA: the most common of ten answers."""
    from model.data.importers.public import vqav2_samples

    write(lambda: vqav2_samples(questions, annotations, images), file, [questions, annotations], words, images)


@importing()
def textvqa(
    data: Annotated[Path, typer.Argument(metavar="FILE", help="TextVQA_0.5.1_train.json.")],
    file: MANIFEST,
    images: IMAGES,
    **words: Any,
) -> None:
    """TextVQA: the most common answer, without OCR tokens."""
    from model.data.importers.public import textvqa_samples

    write(lambda: textvqa_samples(data, images), file, [data], words, images)


@importing()
def st_vqa(
    data: Annotated[Path, typer.Argument(metavar="FILE", help="train_task_3.json.")],
    file: MANIFEST,
    images: IMAGES,
    **words: Any,
) -> None:
    """ST-VQA: questions about text in scenes."""
    from model.data.importers.public import st_vqa_samples

    write(lambda: st_vqa_samples(data, images), file, [data], words, images)


@importing()
def textcaps(
    data: Annotated[Path, typer.Argument(metavar="FILE", help="TextCaps_0.1_train.json.")],
    file: MANIFEST,
    images: IMAGES,
    **words: Any,
) -> None:
    """TextCaps: captions that tell the text in the image."""
    from model.data.importers.public import textcaps_samples

    write(lambda: textcaps_samples(data, images), file, [data], words, images)


@importing()
def gqa(
    data: Annotated[
        Path, typer.Argument(metavar="FILE", help="train_balanced_questions.json, or a folder of such files.")
    ],
    file: MANIFEST,
    images: IMAGES,
    **words: Any,
) -> None:
    """GQA: short answers."""
    from model.data.importers.public import gqa_samples

    write(lambda: gqa_samples(data, images), file, [data], words, images)


@importing()
def a_okvqa(
    data: Annotated[Path, typer.Argument(metavar="FILE", help="aokvqa_v1p0_train.json.")],
    file: MANIFEST,
    images: IMAGES,
    **words: Any,
) -> None:
    """A-OKVQA: the letter of the right choice."""
    from model.data.importers.public import a_okvqa_samples

    write(lambda: a_okvqa_samples(data, images), file, [data], words, images)


@importing()
def ocr_vqa(
    data: Annotated[Path, typer.Argument(metavar="FILE", help="dataset.json.")],
    file: MANIFEST,
    images: IMAGES,
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Which part.")] = "train",
    **words: Any,
) -> None:
    """OCR-VQA: questions about book covers."""
    from model.data.importers.public import ocr_vqa_samples

    write(lambda: ocr_vqa_samples(data, images, split), file, [data], words, images)
