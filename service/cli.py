"""The `pheye` command: what can be typed, and nothing of what it does.

Each command turns its words into plain values, calls the module that does the work (imported only then: `pheye --help`
must not wait for torch), and turns what goes wrong into one line and exit code 2. Main thread only.
"""

from __future__ import annotations

import json
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from model.prompt import AnswerStyle, CaptionLength, CaptionStyle, caption_instruction, question_instruction
from service.flags import OFFLINE_NAMES, fail, read_settings, settings_flags

if TYPE_CHECKING:
    from service.batch import Question
    from service.schemas import SamplingFields

app = typer.Typer(
    name="pheye",
    help="Captions and visual question answering with Pheye, a small high-resolution vision-language model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_offline_flags = settings_flags(
    *("model", "revision", "name", "devices", "dtype", "threads", "slots", "context_tokens"),
    *("default_max_tokens", "feature_cache_bytes", "max_pixels", "preprocess_threads"),
    renamed=OFFLINE_NAMES,
)
_Temperature = Annotated[float, typer.Option(help="Randomness, 0 (greedy) to 2.")]
_TopP = Annotated[float, typer.Option(help="Probability mass to draw tokens from, above 0 up to 1.")]
_Seed = Annotated[int, typer.Option(help="Makes sampling repeatable.")]
_Stop = Annotated[list[str] | None, typer.Option(metavar="TEXT", help="End an answer before this text; up to 4 times.")]
_Jsonl = Annotated[
    Path | None,
    typer.Option(
        metavar="OUT", help="Write one JSON object a line instead of text; run again to continue where it ended."
    ),
]


@app.command()
@settings_flags()
def serve(**flags: str | None) -> None:
    """Serve captions and answers over HTTP until a signal ends it."""
    settings = read_settings(flags)
    from service.server import serve as run_server

    raise typer.Exit(run_server(settings))


@app.command()
@_offline_flags
def caption(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE|FOLDER", help="Files, and folders to walk.")],
    length: Annotated[CaptionLength, typer.Option(help="How much to say.")] = "normal",
    style: Annotated[
        CaptionStyle, typer.Option(help="scene_text tells the text in the image, in a sentence.")
    ] = "plain",
    temperature: _Temperature = 0.0,
    top_p: _TopP = 1.0,
    seed: _Seed = 0,
    stop: _Stop = None,
    jsonl: _Jsonl = None,
    **flags: str | None,
) -> None:
    """Describe images without a server."""
    from service.batch import Question
    from service.schemas import CaptionRequest

    settings = {"temperature": temperature, "top_p": top_p, "seed": seed, "stop": stop}
    asked = _checked(CaptionRequest, {"length": length, "style": style, "settings": settings})
    fields = {"length": length, "style": style}
    _answer(images, [Question(fields, caption_instruction(length, style), "caption")], asked.sampling, jsonl, flags)


@app.command()
@_offline_flags
def ask(
    image: Annotated[Path, typer.Argument(metavar="IMAGE|FOLDER", help="A file, or a folder to walk.")],
    questions: Annotated[list[str], typer.Argument(metavar="QUESTION", help="All are asked of every image.")],
    answer_style: Annotated[
        AnswerStyle, typer.Option(help="Sentences, a word or phrase, or a choice's letter.")
    ] = "sentence",
    choice: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="With --answer-style choice: an option, 2 to 26 times.")
    ] = None,
    temperature: _Temperature = 0.0,
    top_p: _TopP = 1.0,
    seed: _Seed = 0,
    stop: _Stop = None,
    jsonl: _Jsonl = None,
    **flags: str | None,
) -> None:
    """Ask questions about images without a server."""
    from service.batch import Question
    from service.schemas import VqaRequest

    settings = {"temperature": temperature, "top_p": top_p, "seed": seed, "stop": stop}
    style = {"answer_style": answer_style} | ({"choices": choice} if choice else {})
    asked = _checked(VqaRequest, {"questions": questions, "settings": settings, **style})
    instructions = [question_instruction(text, answer_style, choice or ()) for text in questions]
    rows = [
        Question({"question": text, **style}, said, "answer")
        for text, said in zip(questions, instructions, strict=True)
    ]
    _answer([image], rows, asked.sampling, jsonl, flags)


def _checked(kind: Any, fields: dict[str, Any]) -> Any:
    """The request these options stand for, held to the same bounds as one over HTTP."""
    from service.errors import ServiceError
    from service.schemas import check

    try:
        return check(kind, fields, strict=False)
    except ServiceError as error:
        fail(error.detail.replace("settings.", ""))


def _answer(
    paths: list[Path],
    questions: list[Question],
    sampling: SamplingFields,
    jsonl: Path | None,
    flags: dict[str, str | None],
) -> None:
    settings = read_settings(flags, OFFLINE_NAMES)
    from model.request import Sampling
    from service.offline import Job, answer, find_images

    chosen = Sampling(
        max_tokens=settings.default_max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=sampling.seed or 0,
        stop=tuple(sampling.stop or ()),
    )
    try:
        shorten = flags["default_max_tokens"] is None
        code = answer(settings, Job(find_images(paths), tuple(questions), chosen, jsonl, shorten))
    except BrokenPipeError:
        raise  # typer ends quietly when `head` has seen enough
    except (ValueError, OSError) as error:
        fail(str(error))
    raise typer.Exit(code)


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="A published checkpoint: a folder or a hub id.")],
    target: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    revision: Annotated[str | None, typer.Option(help="Hub revision (commit, tag or branch).")] = None,
) -> None:
    """Write a checkpoint as a safetensors folder that needs nothing else."""
    from model.checkpoint import convert as write

    try:
        write(source, target, revision)
    except (ValueError, OSError) as error:
        fail(str(error))
    for path in sorted(path for path in target.rglob("*") if path.is_file()):
        typer.echo(f"{path.stat().st_size:>15,} bytes  {path.relative_to(target)}")


@app.command()
@settings_flags("revision", "context_tokens")
def info(
    model: Annotated[
        str | None, typer.Argument(help="A geometry's name, a folder or a hub id; default PHEYE_MODEL.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Exact numbers for programs.")] = False,
    **flags: str | None,
) -> None:
    """Show a model's geometry, size and cost without loading it."""
    settings = read_settings(flags)
    from rich.console import Console

    from service import info as report

    try:
        config = report.find_config(model or settings.model, settings.revision)
    except (ValueError, OSError) as error:
        fail(str(error))
    figures = report.figures(config, settings.context_tokens)
    if as_json:
        typer.echo(json.dumps(report.as_json(figures), indent=2))
    else:
        report.print_tables(figures, Console())


@app.command()
def docs(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 with a diff if it is stale.")] = False,
    file: Annotated[Path, typer.Option(help="The README.")] = Path("README.md"),
) -> None:
    """Write the generated parts of the README."""
    from service.readme import MarkerError, command_rows, difference, render

    try:
        old = file.read_text(encoding="utf-8")
        new = render(old, command_rows(app))
    except (MarkerError, OSError) as error:
        fail(f"{file}: {error}")
    if not check:
        file.write_text(new, encoding="utf-8")
    elif old != new:
        typer.echo(difference(old, new))
        typer.echo(f"pheye: {file} is stale; run: pheye docs", err=True)
        raise typer.Exit(1)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(installed_version("pheye-service"))


def main() -> None:
    """The console script."""
    app()
