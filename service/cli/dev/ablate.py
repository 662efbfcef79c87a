"""`pheye dev ablate`: the options of a comparison of architectures, and the table of its results.

Owns the words and the display; the comparison is `model.ablation`, imported only when the command runs. That folder is
in the repository and in no wheel: experiments are not for those who install the service. Main thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from service.cli.options.flags import fail, fail_for
from service.cli.options.model_names import check_model
from service.cli.options.shared_options import THREADS
from service.cli.training.train import EXIT_FAILED, EXIT_INTERRUPTED, EXTRA, wait_passively

if TYPE_CHECKING:
    from model.ablation.study import AblationResult, StudySetup
    from model.ablation.variants import Variant

NOT_INSTALLED = "experiments come with the source only: run pip install -e '.[train]' in a clone of the repository"
_COLUMNS = {  # what a column is called -> the kind of answer in it
    "signs": "sign", "small": "sign small", "medium": "sign medium", "large": "sign large",
    "counts": "count", "captions": "caption",
}  # fmt: skip


def ablate(
    output: Annotated[Path, typer.Argument(metavar="FOLDER", help="Of the study; run again to go on after a kill.")],
    variants: Annotated[str, typer.Option(help="Names separated by commas; by default all.")] = "",
    model: Annotated[str, typer.Option(help="Whose frozen parts they share.")] = "pheye-tiny",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Of each variant's training, instead of the recipe's.")
    ] = None,
    scenes: Annotated[int, typer.Option(min=1, help="On how many fresh scenes each is judged.")] = 1000,
    compiled: Annotated[bool, typer.Option("--compile", help="A minute to start each, then faster.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare images ahead.")] = 1,
    threads: THREADS = 0,
) -> None:
    """Compare architectures as appendix B of the paper does: connectors, resamplers, levels; on the synthetic world."""
    check_model(model)
    wait_passively()
    try:
        from model.ablation.study import StudySetup
        from model.ablation.variants import named_variants
        from model.checkpoint.checkpoint import open_checkpoint
        from model.training.compute import ComputeOptions
        from model.training.recipe import changed, named_recipe

        compute = ComputeOptions(compiled=compiled, workers=workers, threads=threads)
        recipe = changed(named_recipe("ablation"), {}, {"steps": steps})
        setup = StudySetup(open_checkpoint(model), recipe, scenes, compute)
        results = [_result(variant, setup, output / variant.name) for variant in named_variants(variants)]
        _publish(results, output)
    except ModuleNotFoundError as error:
        fail(f"{error}; {NOT_INSTALLED if (error.name or '').startswith('model.ablation') else EXTRA}")
    except (ValueError, OSError) as error:
        fail_for(error)
    except ArithmeticError as error:
        typer.echo(f"pheye: {error}", err=True)
        raise typer.Exit(EXIT_FAILED) from None
    except KeyboardInterrupt:
        typer.echo("pheye: interrupted; the same command goes on from the last checkpoint", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _result(variant: Variant, setup: StudySetup, folder: Path) -> AblationResult:
    """Read a variant's result from its folder, or train it."""
    from model.ablation.study import VariantRun, read_result
    from service.cli.training.bar import TrainingBar

    known = read_result(folder)
    if known is not None:
        return known
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"pheye: {variant.name} ({variant.after})")
    entry = VariantRun(variant, setup, folder)
    with TrainingBar(console, done=entry.done, total=entry.total) as bar:
        return entry.finish(bar.show)


def cells(result: AblationResult) -> list[str]:
    """Write a result as a line of the table."""
    shares = [result.share(kind) for kind in _COLUMNS.values()]
    return [
        result.variant,
        f"{result.trained_parameters / 1e6:.2f} M",
        f"{result.image_tokens:,}",
        f"{result.loss:.3f}",
        *("" if share is None else f"{100 * share:.1f}" for share in shares),
    ]


def _publish(results: Sequence[AblationResult], output: Path) -> None:
    from model.ablation.plot import plot_results
    from model.ablation.study import write_results

    plot_results(results, output / "ablation.png")
    write_results(results, output / "ablation.json")
    table = Table(
        "variant", box=None, pad_edge=False, collapse_padding=True, title="right on fresh scenes, %"
    )  # a box would not fit on a narrow terminal
    for name in ("trained", "tokens", "loss", *_COLUMNS):
        table.add_column(name, justify="right")
    for result in results:
        table.add_row(*cells(result))
    Console().print(table)
    typer.echo(f"pheye: written {output / 'ablation.json'} and {output / 'ablation.png'}", err=True)
