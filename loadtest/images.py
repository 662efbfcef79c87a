"""Images to ask about, drawn from their names: as many as wanted, no two alike, the same on every machine.

Knows no requests. Pure; takes a few milliseconds a picture, so draw before the clock starts.
"""

from __future__ import annotations

import hashlib
from io import BytesIO
from typing import Literal

import numpy as np
from PIL import Image

Form = Literal["JPEG", "PNG"]
DETAIL_PX = 8  # a new colour every so many pixels: a JPEG of it is about as large as one of a photograph


def picture(name: str, form: Form = "JPEG", width_px: int = 640, height_px: int = 480) -> bytes:
    """Draw an image file of blurred, coloured noise that only this name has."""
    chance = np.random.default_rng(list(hashlib.sha256(name.encode()).digest()))
    grid = (max(1, height_px // DETAIL_PX), max(1, width_px // DETAIL_PX), 3)
    coarse = Image.fromarray(chance.integers(0, 256, grid, dtype=np.uint8))
    file = BytesIO()
    coarse.resize((width_px, height_px), Image.Resampling.BICUBIC).save(file, form)
    return file.getvalue()
