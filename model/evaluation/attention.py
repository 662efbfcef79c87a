"""Cross-attention to the global view and to the local tiles, by decoder layer and by tertile of the answer's area.

Source: arXiv 2501.02584, appendix C and figure 4: the share of cross-attention on the global view's tokens, averaged
over heads, generated tokens and answers; the local tiles have the rest. Shares of single answers come from
`model/explain.py`. Pure; any thread or process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from model.evaluation.record import CaseAnswer
from model.evaluation.tertiles import FEWEST, TERTILES, NotComparable, known_areas, tertiles


@dataclass(frozen=True, slots=True)
class LayerMean:
    """Mean shares of a decoder layer's cross-attention over the answers of a tertile, or over `all`."""

    tertile: str
    layer: int
    answers: int
    global_share: float

    @property
    def local_share(self) -> float:
        """Mean share of attention to the local tiles."""
        return 1.0 - self.global_share


def shares_by_layer(answers: Sequence[CaseAnswer]) -> list[LayerMean]:
    """Compute mean shares by layer: over all answers, then fine, medium and broad where three areas are known at least.

    Raises:
        NotComparable: an answer has no shares (the run did not record them), or not those of the others' layers.
    """
    layers = list(answers[0].global_shares) if answers else []
    if not layers:
        raise NotComparable("the answers do not tell where the model looked; evaluate again with --attention")
    for each in answers:
        if list(each.global_shares) != layers:
            raise NotComparable(f"case {each.case.id}: it has not the same layers as the first answer")
    areas = known_areas(answers)
    parts = tertiles(areas) if len(areas) >= FEWEST else {}
    means: list[LayerMean] = []
    for name in ("all", *(TERTILES if parts else ())):
        ours = [each for each in answers if name in ("all", parts.get(each.case.id))]
        means += [
            LayerMean(name, layer, len(ours), fmean(each.global_shares[layer] for each in ours)) for layer in layers
        ]
    return means
