"""Explanations as JSON: numbers in lists, heat maps as data URIs.

Owns rounding and layout; what the numbers mean is `model/explain.py`'s. Pure; safe from any thread.
"""

from __future__ import annotations

import base64
from typing import Any

from pydantic import BaseModel, Field

from model.explain import Explanation, HeatMap

DIGITS = 6  # of a weight; all cells of a map add up to 1


class LayerFields(BaseModel):
    """A decoder layer that has cross-attention."""

    layer: int = Field(description="Index of the decoder layer, from 0.")
    global_share: float = Field(description="Share of the attention on the global view, 0 to 1.")
    local_share: float = Field(description="Share of the attention on the local tiles, 0 to 1.")


class MapFields(BaseModel):
    """A map of where the model looked."""

    heat_map: list[list[float]] = Field(
        description="Share of the attention on each cell of the image, rows from the top; adds up to 1."
    )
    heat_map_png: str = Field(description="The same as a greyscale PNG data URI, a pixel a cell, the maximum white.")


class WordFields(MapFields):
    """A word of the answer and where the model looked while it wrote it."""

    text: str = Field(description="The piece of the answer.")
    start: int = Field(description="Where the word starts in the answer, in characters.")
    end: int = Field(description="Where it ends.")


class ExplanationFields(MapFields):
    """An explanation of where the model looked while it wrote the answer. Attention is a hint, not a proof."""

    grid: int = Field(description="Cells along each side of a heat map.")
    layers: list[LayerFields] = Field(description="How each layer divides its attention.")
    words: list[WordFields] = Field(description="The same for every word of the answer.")


def explanation_json(explanation: Explanation) -> str:
    """Write an explanation as the JSON of `ExplanationFields`; slow, a millisecond for each word.

    One map at a time: as Python's numbers, all of them would take several times the memory of the text.
    """
    layers = [
        LayerFields(
            layer=share.layer,
            global_share=round(share.global_share, DIGITS),
            local_share=round(share.local_share, DIGITS),
        )
        for share in explanation.layers
    ]
    grid = len(explanation.heat_map.values)
    head = ExplanationFields(**_map(explanation.heat_map), grid=grid, layers=layers, words=[])
    words = (
        WordFields(**_map(word.heat_map), text=word.text, start=word.start, end=word.end).model_dump_json()
        for word in explanation.words
    )
    return f'{head.model_dump_json(exclude={"words"})[:-1]},"words":[{",".join(words)}]}}'


def _map(heat_map: HeatMap) -> dict[str, Any]:
    rows = [[round(cell, DIGITS) for cell in row] for row in heat_map.values.tolist()]
    return {"heat_map": rows, "heat_map_png": "data:image/png;base64," + base64.b64encode(heat_map.png()).decode()}
