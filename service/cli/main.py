"""The `pheye` command line: its commands and their options, and nothing of the work.

Each command turns its words into plain values, calls the module that does the work (imported only then: `pheye --help`
must not wait for torch), and turns what goes wrong into one line and exit code 2. Main thread only.
"""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Any

import typer

from model.prompt import (
    AnswerStyle,
    CaptionLength,
    CaptionStyle,
    caption_instruction,
    offered_answers,
    question_instruction,
)
from service.cli.dev.commands import dev_commands
from service.cli.doctor import doctor
from service.cli.evaluate.commands import evaluate
from service.cli.info.command import info
from service.cli.keys import keys
from service.cli.manifest.commands import manifest
from service.cli.mcp import mcp
from service.cli.options.ask_options import ImageCommand, answer, answering
from service.cli.options.flags import EXIT_DISK, fail, fail_for, is_disk_error
from service.cli.options.model_names import check_model
from service.cli.options.renamed import RenamedCommands
from service.cli.options.shared_options import REVISION
from service.cli.serve import HELP_OPTIONS, serve
from service.cli.training.train import train

QUESTIONS_FILE = Annotated[
    str | None,
    typer.Option(
        "--questions",
        metavar="FILE",
        help="A text file with more of them, one a line; - is standard input; lines that start with # are skipped.",
    ),
]
CHOICES = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT",
        help="Answer with one of these, 2 to 100 times; shows the probability of each. With --answer-style choice the "
        "model is told them by letter, 2 to 26.",
    ),
]

app = typer.Typer(
    name="pheye",
    help="Captions and visual question answering with Pheye, a small high-resolution vision-language model.",
    cls=RenamedCommands,
    context_settings=HELP_OPTIONS,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(installed_version("pheye-service"))
        raise typer.Exit


@app.callback()
def pheye(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options that come before a command."""


app.command()(serve)


@app.command(cls=ImageCommand)
@answering
def caption(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE|FOLDER|URL",
            help="Files, folders to walk, http(s) URLs, and - for an image in standard input.",
        ),
    ],
    length: Annotated[CaptionLength, typer.Option(help="How much to say.")] = "normal",
    style: Annotated[
        CaptionStyle, typer.Option(help="scene_text tells the text in the image, in a sentence.")
    ] = "plain",
    **words: Any,
) -> None:
    """Describe images, without a server or by one."""
    from service.batch.task import Question
    from service.schemas.requests import CaptionRequest

    asked = {"length": length, "style": style}
    answer(images, [Question(asked, caption_instruction(length, style), "caption")], CaptionRequest, asked, words)


@app.command(cls=ImageCommand)
@answering
def ask(
    image: Annotated[
        str,
        typer.Argument(
            metavar="IMAGE|FOLDER|URL",
            help="A file, a folder to walk, an http(s) URL, or - for an image in standard input.",
        ),
    ],
    questions: Annotated[
        list[str] | None, typer.Argument(metavar="QUESTION", help="All are asked of every image.")
    ] = None,
    questions_file: QUESTIONS_FILE = None,
    answer_style: Annotated[
        AnswerStyle, typer.Option(help="Sentences, a word or phrase, or the letter of a choice.")
    ] = "sentence",
    choice: CHOICES = None,
    **words: Any,
) -> None:
    """Ask questions about images, without a server or of one."""
    from service.batch.task import Question
    from service.schemas.requests import VqaRequest

    if image == questions_file == "-":
        fail("- and --questions -: standard input is the image or the questions; put one of them into a file")
    texts = _questions(questions or [], questions_file)
    choices = [text.strip() for text in choice or []]
    style = {"answer_style": answer_style} | ({"choices": choices} if choices else {})
    offered = offered_answers(answer_style, choices)
    rows = [
        Question({"question": text, **style}, question_instruction(text, answer_style, choices), "answer", offered)
        for text in texts
    ]
    answer([image], rows, VqaRequest, {"questions": texts, **style}, words)


def _questions(typed: list[str], file: str | None) -> list[str]:
    """List the questions that were typed, and after them those in the file."""
    from service.batch.questions import read_questions

    try:
        texts = typed + (read_questions(file) if file is not None else [])
    except ValueError as error:
        fail(str(error))
    return texts or fail("QUESTION: there is none; type one, or name a file of them with --questions")


app.command()(info)


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="A published checkpoint: a folder or a hub id.")],
    target: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    revision: REVISION = None,
) -> None:
    """Write a checkpoint as a safetensors folder that needs nothing else."""
    check_model(source, revision)
    from model.checkpoint.conversion import convert as write

    try:
        write(source, target, revision)
    except (ValueError, OSError) as error:
        fail_for(error)
    for path in sorted(path for path in target.rglob("*") if path.is_file()):
        typer.echo(f"{path.stat().st_size:>15,} bytes  {path.relative_to(target)}")


app.command()(doctor)
app.command()(mcp)
app.command()(train)
app.add_typer(keys)
app.add_typer(manifest)
app.add_typer(evaluate)
app.add_typer(dev_commands(app))


def main() -> None:
    """Run the command line; what no command has put into words is a full disk behind standard output."""
    try:
        app()
    except OSError as error:
        if not is_disk_error(error):
            raise
        typer.echo(f"pheye: {error}", err=True)
        sys.exit(EXIT_DISK)
