"""`pheye evaluate`: a command for each data set.

Each turns its words into a list of cases and hands it to `service.cli.evaluate.options`; a new source of cases is a
function that returns such a list and a command here. What is done with finished files is
`service/cli/evaluate/compare.py`'s. Main thread only.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from model.evaluation.case import Kind
from model.prompt import CaptionStyle
from service.cli.evaluate.compare import attention, scores, tertiles
from service.cli.evaluate.options import cache_folder, evaluate_cases, evaluating, files_in, known_outside_answer
from service.cli.options.shared_options import IMAGES

if TYPE_CHECKING:
    from model.evaluation.case import Case

from service.evaluation.token_limits import SCENE_TOKENS, SENTENCE_TOKENS, TEXT_TOKENS, WORD_TOKENS

evaluate = typer.Typer(
    name="evaluate",
    help="Measure a model on a data set, or compare finished measurements.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_OCR = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="TextVQA_Rosetta_OCR_v0.2_val.json, to know how large answers are (tertiles)."),
]


@evaluate.command()
@evaluating
def vqav2(
    questions: Annotated[Path, typer.Option(metavar="FILE", help="v2_OpenEnded_mscoco_val2014_questions.json.")],
    images: IMAGES,
    annotations: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="v2_mscoco_val2014_annotations.json; leave it out for the test splits."),
    ] = None,
    instances: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="instances_val2014.json, to know how large answers are (tertiles)."),
    ] = None,
    **words: Any,
) -> None:
    """VQAv2: VQA accuracy."""
    from model.evaluation.areas import read_instances
    from model.evaluation.formats.vqav2 import read_vqav2
    from model.evaluation.submission import QUESTIONS

    def read() -> list[Case]:
        return read_vqav2(questions, annotations, images, read_instances(instances) if instances else None)

    evaluate_cases("vqav2", read, words, max_tokens=WORD_TOKENS, form=QUESTIONS)


@evaluate.command()
@evaluating
def textvqa(
    data: Annotated[Path, typer.Option(metavar="FILE", help="TextVQA_0.5.1_val.json or another split's.")],
    images: IMAGES,
    ocr: _OCR = None,
    **words: Any,
) -> None:
    """TextVQA: VQA accuracy, without OCR tokens in the instruction."""
    from model.evaluation.areas import read_ocr
    from model.evaluation.formats.textvqa import read_textvqa
    from model.evaluation.submission import QUESTIONS

    def read() -> list[Case]:
        return read_textvqa(data, images, read_ocr(ocr) if ocr else None)

    evaluate_cases("textvqa", read, words, max_tokens=WORD_TOKENS, form=QUESTIONS)


@evaluate.command()
@evaluating
def textcaps(
    data: Annotated[Path, typer.Option(metavar="FILE", help="TextCaps_0.1_val.json or another split's.")],
    images: IMAGES,
    style: Annotated[
        CaptionStyle, typer.Option(help="scene_text is the prompt of the training data, plain that of other captions.")
    ] = "plain",
    ocr: _OCR = None,
    **words: Any,
) -> None:
    """TextCaps: CIDEr-D of one-sentence captions."""
    from model.evaluation.areas import read_ocr
    from model.evaluation.formats.textcaps import read_textcaps
    from model.evaluation.submission import NAMED_IMAGES

    def read() -> list[Case]:
        return read_textcaps(data, images, style, read_ocr(ocr) if ocr else None)

    evaluate_cases("textcaps", read, words, max_tokens=SENTENCE_TOKENS, form=NAMED_IMAGES)


@evaluate.command()
@evaluating
def nocaps(
    captions: Annotated[Path, typer.Option(metavar="FILE", help="nocaps_val_4500_captions.json.")],
    images: IMAGES,
    **words: Any,
) -> None:
    """NoCaps: CIDEr-D of one-sentence captions, over all and by domain."""
    from model.evaluation.formats.nocaps import read_nocaps
    from model.evaluation.submission import NUMBERED_IMAGES

    read = partial(read_nocaps, captions, images)
    evaluate_cases("nocaps", read, words, max_tokens=SENTENCE_TOKENS, form=NUMBERED_IMAGES)


@evaluate.command()
@evaluating
def docci(
    descriptions: Annotated[Path, typer.Option(metavar="FILE", help="docci_descriptions.jsonlines.")],
    images: IMAGES,
    split: Annotated[str, typer.Option(help="test, train, qual_dev or qual_test.")] = "test",
    **words: Any,
) -> None:
    """DOCCI: CIDEr-D of long descriptions."""
    from model.evaluation.formats.docci import read_docci

    evaluate_cases("docci", partial(read_docci, descriptions, images, split), words, max_tokens=TEXT_TOKENS)


@evaluate.command("easy-vqa")
@evaluating
def easy_vqa(**words: Any) -> None:
    """easy-VQA: exact match on its official test split, which comes with the package."""
    from model.evaluation.formats.easy_vqa import read_easy_vqa

    evaluate_cases("easy-vqa", read_easy_vqa, words, max_tokens=WORD_TOKENS)


@evaluate.command()
@evaluating
def scenes(
    folder: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the painted images are kept; default pheye/scenes in ~/.cache."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many scenes.")] = 1000,
    world: Annotated[str, typer.Option(metavar="SEED", help="Which scenes; never those of training.")] = "test",
    level: Annotated[
        int, typer.Option(min=1, help="The model's local tiles along each side of an image, whose edges cut signs.")
    ] = 3,
    **words: Any,
) -> None:
    """Fresh scenes of pheye-tiny's world: shapes in captions, counting, one shape of several, signs."""
    from model.evaluation.formats.scenes import read_scenes

    kept = folder or cache_folder("scenes")
    evaluate_cases("scenes", partial(read_scenes, kept, count, world, level), words, max_tokens=SCENE_TOKENS)


@evaluate.command()
@evaluating
def outside(
    photographs: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Photographs to ask about; those that scikit-image and scikit-learn ship by default."
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Where painted pictures and scenes are kept; default pheye/outside in ~/.cache."
        ),
    ] = None,
    pictures: Annotated[int, typer.Option(min=0, help="How many pictures of no meaning.")] = 64,
    count: Annotated[int, typer.Option(min=0, help="How many scenes of pheye-tiny's own world.")] = 200,
    world: Annotated[str, typer.Option(metavar="SEED", help="Which pictures and scenes; never those of training.")] = (
        "outside"
    ),
    sentence: Annotated[
        str | None,
        typer.Option(help="By what the model says that it does not know; its about.json's by default."),
    ] = None,
    **words: Any,
) -> None:
    """Pictures outside the model's world: how often it says so, and how often it refuses its own scenes."""
    from model.evaluation.formats.outside import DEFAULT_SENTENCE, installed_photographs, read_outside

    def read() -> list[Case]:
        found = files_in(photographs) if photographs else installed_photographs()
        said = sentence or known_outside_answer(words) or DEFAULT_SENTENCE
        return read_outside(found, folder or cache_folder("outside"), pictures, count, world, said)

    evaluate_cases("outside", read, words, max_tokens=SCENE_TOKENS)


@evaluate.command()
@evaluating
def things(
    pictures: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Pictures of things, as `pheye dev things` keeps them.")
    ],
    folder: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the painted scenes are kept; default pheye/things in ~/.cache."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many scenes of each name.")] = 2,
    world: Annotated[str, typer.Option(metavar="SEED", help="Which scenes; never those of training.")] = "things",
    style: Annotated[
        str | None, typer.Option(help="Icon set of the things; by default the one that no training saw.")
    ] = None,
    **words: Any,
) -> None:
    """Scenes of everyday things in a style never trained on: named, in captions, counted."""
    from model.data.things.collecting import ASKED_STYLE
    from model.evaluation.formats.outside import installed_photographs
    from model.evaluation.formats.things import read_things

    def read() -> list[Case]:
        kept = folder or cache_folder("things")
        return read_things(pictures, installed_photographs(), kept, count, world, style or ASKED_STYLE)

    evaluate_cases("things", read, words, max_tokens=SCENE_TOKENS)


@evaluate.command()
@evaluating
def manifest(
    file: Annotated[Path, typer.Argument(metavar="MANIFEST", help="JSON lines: image, instruction, response.")],
    kind: Annotated[
        Literal["auto", Kind],
        typer.Option(
            help="How answers are judged; auto as pheye train does: up to 3 words by exact match, longer ones by the "
            "words that are right (F1)."
        ),
    ] = "auto",
    **words: Any,
) -> None:
    """Your own data: a manifest like those that pheye train learns from."""
    from model.evaluation.formats.manifest import read_manifest_cases

    judged = None if kind == "auto" else kind
    evaluate_cases(file.stem, partial(read_manifest_cases, file, judged), words, max_tokens=TEXT_TOKENS)


evaluate.command()(scores)
evaluate.command()(tertiles)
evaluate.command()(attention)
