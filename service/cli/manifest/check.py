"""`pheye manifest check`: what is wrong with a manifest, its numbers, and some of its lines.

Owns the words; the work is `model.data.check`'s. Main thread only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from service.cli.manifest.options import shown
from service.cli.options.flags import fail, fail_for, read_settings
from service.cli.options.shared_options import AS_JSON

if TYPE_CHECKING:
    from model.data.check.measures import ModelLimits, Quantiles
    from model.data.check.survey import ManifestSurvey

EXIT_ERRORS = 1
_SHOWN = 2000  # characters of a sample's text
_TOLD_EVERY = 200  # lines or images between two updates of the line that shows the progress


def check(
    file: Annotated[Path, typer.Argument(metavar="MANIFEST", help="The manifest to check.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="The model it is for, whose tokenizer and limits count: a folder or hub id; default PHEYE_MODEL."
        ),
    ] = None,
    samples: Annotated[int, typer.Option(metavar="N", min=0, help="Lines to show, drawn at random.")] = 3,
    decode: Annotated[
        int, typer.Option(metavar="N", min=0, help="Images to decode to the end; of the others the head is read.")
    ] = 1000,
    as_json: AS_JSON = False,
) -> None:
    """Show what is wrong with a manifest, and what is in it.

    The exit code is 1 if training would stop at something, 0 if there are only warnings.
    """
    from model.data.check.survey import survey

    if not file.is_file():
        fail(f"{shown(file)}: there is no such file")
    limits = _limits(model)
    try:
        with Console(stderr=True).status("reading") as status:

            def progress(what: str, done: int, total: int) -> None:
                if done % _TOLD_EVERY == 0:
                    status.update(f"{what}: {done:,}" + (f" of {total:,}" if total else ""))

            found = survey(file, limits, decode=decode, samples=samples, progress=progress)
    except OSError as error:
        fail_for(error, shown(error))
    if as_json:
        typer.echo(json.dumps(_as_json(found), indent=2))
    else:
        for line in _report(found, file, limits):
            typer.echo(shown(line))
    raise typer.Exit(EXIT_ERRORS if any(finding.is_error for finding in found.findings) else 0)


def _limits(model: str | None) -> ModelLimits:
    settings = read_settings({"model": model})
    from model.checkpoint.checkpoint import open_tokenizer, read_config
    from model.data.check.measures import ModelLimits

    try:
        config = read_config(settings.model, settings.revision)
        tokenizer = open_tokenizer(settings.model, settings.revision)
    except (ValueError, OSError) as error:
        fail_for(error, f"--model: {shown(error)}")
    return ModelLimits(
        settings.model,
        tokenizer.encode,
        config.decoder.max_positions,
        settings.default_max_tokens,
        tokenizer.fewest_tokens,
    )


def _report(found: ManifestSurvey, file: Path, limits: ModelLimits) -> Iterator[str]:
    yield f"{file}: {found.lines} lines about {found.images} images"
    none, served = "not counted", f"{limits.model} stops at {limits.answer_tokens} when served"
    rows = {
        "lines an image": _in_words(found.turns),
        "pixels an image": _in_words(found.pixels),
        "words a response": _in_words(found.words),
        "tokens a response": f"{_in_words(found.tokens, none)}; {served}",
        "tokens a line": f"{_in_words(found.context, none)}; {limits.model} reads {limits.context_tokens}",
        "response formats": ", ".join(f"{name} {count / found.lines:.0%}" for name, count in found.formats.items()),
        "other scripts": ", ".join(f"{name} ({each.letters} letters)" for name, each in found.scripts.found.items()),
        "images read": f"{found.decoded} of {found.images} to the end, of the others the head",
    }
    yield ""
    yield from (f"{name:18} {value}" for name, value in rows.items() if value and found.lines)
    yield from _findings(found)
    for line in found.samples:
        yield ""
        yield line.image.replace("\n", "\\n")
        yield from (f"  > {part}" for part in _beginning(line.instruction).splitlines())
        yield from (f"    {part}" for part in _beginning(line.response).splitlines())


def _beginning(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... and {len(text) - _SHOWN:,} characters more"


def _findings(found: ManifestSurvey) -> Iterator[str]:
    counts = {True: 0, False: 0}
    yield ""
    for finding in found.findings:
        counts[finding.is_error] += finding.count
        yield f"{'error' if finding.is_error else 'warning'}: {finding.what}"
        yield from (f"    {place}" for place in finding.places)
        if finding.count > len(finding.places):
            yield f"    and {finding.count - len(finding.places)} more"
    yield f"{counts[True]} errors, {counts[False]} warnings"


def _in_words(numbers: Quantiles | None, none: str = "") -> str:
    if numbers is None:
        return none
    if numbers.least == numbers.most:
        return f"{numbers.most:,}"
    return f"{numbers.least:,} to {numbers.most:,}, median {numbers.median:,}, 95% at most {numbers.p95:,}"


def _as_json(found: ManifestSurvey) -> dict[str, Any]:
    quantiles = ("turns", "pixels", "words", "tokens", "context")
    return {
        "lines": found.lines,
        "images": found.images,
        **{name: asdict(each) if (each := getattr(found, name)) else None for name in quantiles},
        "formats": found.formats,
        "scripts": {
            name: {"letters": each.letters, "tokens_a_letter": each.tokens_a_letter}
            for name, each in found.scripts.found.items()
        },
        "decoded": found.decoded,
        "findings": [asdict(finding) for finding in found.findings],
        "samples": [asdict(line) for line in found.samples],
    }
