"""Architectures that the ablation study compares, as plain data: image cutting, compression, and fusion with text.

Sources: arXiv 2501.02584, appendix B.1 (connectors) and B.2 (resolution and resamplers). Pure; any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Resampler = Literal["perceiver", "monkey"]
Connector = Literal["cross-attention", "prefix", "cls prefix"]

_LOCAL_PARTS = (".second.", "norm_lvl_2")  # read for local tiles only
_CROSS_PART = ".cross_attn_layer."


class VariantError(ValueError):
    """Unknown variant; the message lists the known ones."""


@dataclass(frozen=True, slots=True)
class Variant:
    """Architecture of one variant.

    Attributes:
        name: how it is asked for.
        after: whose architecture it stands for.
        level: 1 is the global view alone; 2 and 3 add level x level local tiles.
        connector: cross-attention before the decoder's layers; or embeddings put in front of the text, of every image
            token or of the global view's CLS token.
        resampler: what compresses the image tokens to those of one tile; None leaves them.
    """

    name: str
    after: str
    level: int
    connector: Connector = "cross-attention"
    resampler: Resampler | None = None

    @property
    def absent(self) -> tuple[str, ...]:
        """Parts of tensor names that mark the tensors of Pheye which this variant lacks."""
        local = _LOCAL_PARTS if self.level == 1 else ()
        return local if self.connector == "cross-attention" else (*local, _CROSS_PART)


VARIANTS: Mapping[str, Variant] = {
    variant.name: variant
    for variant in (
        Variant("cls-prefix", "FROMAGe", 1, "cls prefix"),
        Variant("prefix", "LLaVA", 1, "prefix"),
        Variant("level-1", "Pheye, the global view alone", 1),
        Variant("level-2", "Pheye, 2 x 2 tiles", 2),
        Variant("perceiver", "Flamingo's resampler, 6 layers", 2, resampler="perceiver"),
        Variant("monkey", "Monkey's resampler, 1 layer", 2, resampler="monkey"),
        Variant("level-3", "Pheye, 3 x 3 tiles", 3),
    )
}


def named_variants(names: str) -> tuple[Variant, ...]:
    """Return variants by their names, separated by commas; all of them for an empty string.

    Raises:
        VariantError: a name is unknown.
    """
    asked = [name.strip() for name in names.split(",") if name.strip()]
    for name in asked:
        if name not in VARIANTS:
            raise VariantError(f"variants: there is no {name!r}; known are {', '.join(VARIANTS)}")
    return tuple(VARIANTS[name] for name in asked or VARIANTS)
