"""The report of `pheye info` about a model: its geometry, its size, and the cost of one image and one token.

Owns the choice and the layout of figures; `model/complexity.py` owns the arithmetic. Nothing is loaded but a
configuration. Used by the command only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Table

from model import complexity
from model.about import About
from model.checkpoint.about_file import read_about
from model.checkpoint.hub import cached_folder, is_cached
from model.checkpoint.names import PUBLISHED, RANDOM, check_source
from model.checkpoint.sources import local_folder, unpinned
from model.config import GEOMETRIES, PheyeConfig, named_geometry
from model.layout import ADAPTER_RANKS, adapters

PROMPT_TOKENS = complexity.PAPER_TEXT_TOKENS


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of the report.

    Attributes:
        section, key: its place in the JSON; the key ends with its unit.
        label: what the table calls it.
        value: the exact value.
    """

    section: str
    key: str
    label: str
    value: int | float | str

    @property
    def shown(self) -> str:
        """The value as people read it, with a unit they can compare."""
        if isinstance(self.value, str):
            return self.value
        if self.key.endswith("_bytes"):
            return _scaled(self.value, "B")
        if self.key.endswith("_flops"):
            return _scaled(self.value, "FLOP")
        return f"{self.value:,}" if isinstance(self.value, int) else f"{self.value:.2f}"


def _scaled(value: float, unit: str) -> str:
    """Write a number with three or more significant digits and a decimal prefix.

    >>> _scaled(3289600, "B")
    '3.29 MB'
    """
    for prefix in ("", "k", "M", "G"):
        if value < 1000:
            return f"{value:.3g} {prefix}{unit}"
        value /= 1000
    return f"{value:.3g} T{unit}" if value < 1000 else f"{value:,.0f} T{unit}"


def find_config(source: str, revision: str | None) -> PheyeConfig:
    """Find the configuration that a name stands for: a known geometry, a checkpoint folder or a hub id.

    Raises:
        ValueError: there is none; the message says what is known.
    """
    name = source.removeprefix(RANDOM)
    if name in GEOMETRIES or source.startswith(RANDOM):
        return named_geometry(name)
    if source in PUBLISHED and not is_cached(source, revision):
        return named_geometry(source.rpartition("/")[2])  # known without a download
    check_source(source, revision, weights=False)
    from model.checkpoint.checkpoint import read_config  # imports torch

    return read_config(source, revision)


def find_ranks(source: str, revision: str | None, config: PheyeConfig) -> Mapping[str, int] | None:
    """Find the ranks of a model's adapters, or None for a checkpoint whose weights are not here to tell.

    Raises:
        ValueError: there are weights, and they cannot be read; they are mapped, not loaded.
    """
    if source in GEOMETRIES or source.startswith(RANDOM):
        return ADAPTER_RANKS
    folder = _folder_here(source, revision)
    if folder is None:
        return None
    from model.checkpoint.checkpoint import stored_ranks  # imports torch

    return stored_ranks(folder, config)


def find_about(source: str, revision: str | None) -> About | None:
    """Find what a checkpoint on this machine says of its model; None if it does not say.

    Raises:
        ValueError: its `about.json` cannot be read.
    """
    folder = _folder_here(source, revision)
    return read_about(folder) if folder else None


def _folder_here(source: str, revision: str | None) -> Path | None:
    """Return the folder of a checkpoint on this machine: its own, or the hub cache's."""
    return local_folder(source) or cached_folder(source, revision)


def find_unpinned(source: str, revision: str | None) -> tuple[str, ...]:
    """Find the hub repositories that a checkpoint on this machine names, and no revision pins.

    Raises:
        ValueError: its `config.json` cannot be read.
    """
    folder = _folder_here(source, revision)
    return unpinned(folder) if folder else ()


def figures(
    config: PheyeConfig,
    context_tokens: int,
    ranks: Mapping[str, int] | None = None,
    others: Sequence[str] = (),
) -> Iterator[Figure]:
    """List all figures, section by section.

    Args:
        config: geometry of the model.
        context_tokens: of an answer's slot.
        ranks: of its adapters; the usual ones are assumed where none are known.
        others: hub repositories that it takes parts from, and that no revision pins.
    """
    count = complexity.parameters(config, ranks or ADAPTER_RANKS)
    yield from _geometry(config)
    yield _adapter_ranks(config, ranks)
    if others:
        yield Figure("geometry", "unpinned", "other repositories, which no revision pins", ", ".join(others))
    yield from _parameters(count)
    yield from _bytes(config, count, context_tokens)
    yield from _flops(config)
    yield from _ratios(config)


def _geometry(config: PheyeConfig) -> Iterator[Figure]:
    section, v, d = "geometry", config.vision, config.decoder
    layers = ", ".join(str(layer) for layer in config.cross_layers)
    yield Figure(section, "name", "model", config.name)
    yield Figure(section, "image_px", "image, pixels a side", config.image_px)
    yield Figure(
        section, "tiles", f"tiles of {v.tile_px} px (global view and {config.level} x {config.level})", config.tiles
    )
    yield Figure(section, "image_tokens", "image tokens", config.image_tokens)
    yield Figure(section, "vision", "vision transformer", f"{v.layers} layers, width {v.width}, {v.heads} heads")
    yield Figure(section, "decoder", "language model", f"{d.layers} layers, width {d.width}, {d.heads} heads")
    yield Figure(section, "vocabulary", "vocabulary", d.vocab_size)
    yield Figure(section, "cross_layers", "cross-attention before layers", layers)


def _adapter_ranks(config: PheyeConfig, ranks: Mapping[str, int] | None) -> Figure:
    shown = ", ".join(f"{adapter} {(ranks or ADAPTER_RANKS)[adapter]}" for adapter in adapters(config))
    doubt = "" if ranks else " (assumed: no weights here)"
    return Figure("geometry", "adapter_ranks", "adapter ranks", shown + doubt)


def _parameters(count: complexity.Parameters) -> Iterator[Figure]:
    section = "parameters"
    yield Figure(section, "vision_tower", "vision transformer", count.vision_tower)
    yield Figure(section, "adapter_local", "adapter of the local tiles", count.adapter_local)
    yield Figure(section, "adapter_global", "adapter of the global view", count.adapter_global)
    yield Figure(section, "level_norms", "level norms", count.level_norms)
    yield Figure(section, "tile_positions", "tile positions", count.tile_positions)
    yield Figure(section, "cross_attention", "cross-attention blocks", count.cross_attention)
    yield Figure(section, "language_model", "language model", count.language_model)
    yield Figure(section, "unused", "stored and never used", count.unused)
    yield Figure(section, "total", "total", count.total)
    yield Figure(section, "trained", "of these trained", count.trained)


def _bytes(config: PheyeConfig, count: complexity.Parameters, context_tokens: int) -> Iterator[Figure]:
    slot = f"one answer of {context_tokens} tokens"
    for dtype in ("bfloat16", "float32"):
        width, section = complexity.DTYPE_BYTES[dtype], f"bytes_{dtype}"
        slots = complexity.slot_bytes(config, context_tokens, dtype)
        yield Figure(section, "stored_bytes", "weights, stored", count.total * width)
        yield Figure(section, "served_bytes", "weights, served (a tower for each adapter)", count.served * width)
        yield Figure(section, "slot_bytes", f"a slot: {slot} and its image", slots)
        yield Figure(section, "features_bytes", "one cached image", complexity.feature_bytes(config, dtype))


def _flops(config: PheyeConfig) -> Iterator[Figure]:
    section, reach = "flops", PROMPT_TOKENS + 1
    kept = complexity.decode_flops(config, reach)
    again = complexity.decode_flops(config, reach, recompute=True)
    yield Figure(section, "image_flops", "encode an image", complexity.encode_flops(config))
    prompt = complexity.prefill_flops(config, PROMPT_TOKENS)
    yield Figure(section, "prompt_flops", f"read a prompt of {PROMPT_TOKENS} tokens", prompt)
    yield Figure(section, "token_flops", "one more token, image keys and values kept", kept)
    yield Figure(section, "token_recomputed_flops", "one more token, recomputed as in the original", again)
    yield Figure(section, "token_saving", "recomputed over kept", again / kept)


def _ratios(config: PheyeConfig) -> Iterator[Figure]:
    section, own = "ratios", complexity.own_ratios(config)
    two, four = (complexity.paper_ratios(interval) for interval in (2, 4))
    yield Figure(section, "paper_vision", "paper, ViT at 672 px over tiles", two.vision)
    yield Figure(section, "paper_language_x2", "paper, LLaVA-style over Pheye, interval 2", two.language)
    yield Figure(section, "paper_language_x4", "paper, LLaVA-style over Pheye, interval 4", four.language)
    yield Figure(section, "own_vision", f"this model, ViT at {config.image_px} px over tiles", own.vision)
    yield Figure(section, "own_language", "this model, LLaVA-style over Pheye", own.language)


_TITLES = {
    "geometry": "Geometry",
    "parameters": "Parameters",
    "bytes_bfloat16": "Memory in bfloat16",
    "bytes_float32": "Memory in float32",
    "flops": "FLOPs (2 for each multiply-add)",
    "ratios": "Multiplications, equations 1 to 4 (arXiv 2501.02584)",
}


def as_json(report: Iterator[Figure]) -> dict[str, dict[str, int | float | str]]:
    """Arrange the figures as section -> key -> exact value."""
    return {
        section: {figure.key: figure.value for figure in group}
        for section, group in groupby(report, lambda figure: figure.section)
    }


def print_tables(report: Iterator[Figure], console: Console) -> None:
    """Print a table for each section."""
    for section, group in groupby(report, lambda figure: figure.section):
        table = Table(title=_TITLES[section], title_justify="left", show_header=False, width=80)
        table.add_column(ratio=1)
        table.add_column(justify="right")
        for figure in group:
            table.add_row(figure.label, figure.shown)
        console.print(table)
