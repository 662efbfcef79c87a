"""Fonts of the signs: files that font packages ship, found by name, so that a scene is the same everywhere.

Importing this needs the packages of the `train` extra. A font object is cached per process and size.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

_FACES = (  # package, file under it; the order is part of what a seed means
    ("matplotlib", "mpl-data/fonts/ttf/DejaVuSans.ttf"),
    ("matplotlib", "mpl-data/fonts/ttf/DejaVuSans-Bold.ttf"),
    ("matplotlib", "mpl-data/fonts/ttf/DejaVuSerif.ttf"),
    ("matplotlib", "mpl-data/fonts/ttf/DejaVuSerif-Bold.ttf"),
    ("matplotlib", "mpl-data/fonts/ttf/DejaVuSansMono.ttf"),
    ("matplotlib", "mpl-data/fonts/ttf/DejaVuSansMono-Bold.ttf"),
    ("matplotlib", "mpl-data/fonts/ttf/STIXGeneral.ttf"),
    ("font_roboto", "files/Roboto-Regular.ttf"),
    ("font_roboto", "files/Roboto-Bold.ttf"),
    ("font_roboto", "files/Roboto-Italic.ttf"),
    ("font_source_sans_pro", "files/SourceSansPro-Regular.ttf"),
    ("font_source_sans_pro", "files/SourceSansPro-Bold.ttf"),
    ("font_source_serif_pro", "files/SourceSerifPro-Regular.ttf"),
    ("font_source_serif_pro", "files/SourceSerifPro-Bold.ttf"),
    ("font_caladea", "files/Caladea-Regular.ttf"),
    ("font_fredoka_one", "files/FredokaOne-Regular.ttf"),
    ("font_hanken_grotesk", "files/HankenGrotesk-Medium.otf"),
    ("font_manrope", "files/Manrope-Medium.ttf"),
    ("font_lato", "files/Lato-Regular.ttf"),
    ("font_lato", "files/Lato-Bold.ttf"),
)


class FontsMissing(ValueError):
    """Missing font package; the message says how to install it."""


@lru_cache(maxsize=512)
def font_with_capitals(font: int, height_px: float) -> ImageFont.FreeTypeFont:
    """Load a face whose capital H is about `height_px` tall; `font` is taken modulo the number of faces.

    Raises:
        FontsMissing: its package is not there.
    """
    package, file = _FACES[font % len(_FACES)]
    found = find_spec(package)
    if found is None or found.origin is None:
        raise FontsMissing(f"fonts of {package} are missing: pip install 'pheye-service[train]'")
    path = str(Path(found.origin).parent / file)
    return ImageFont.truetype(path, max(4.0, height_px / _capital_height(path)))


@lru_cache(maxsize=64)
def _capital_height(path: str) -> float:
    """Return the height of a capital letter as a share of the font's size."""
    _, top, _, bottom = ImageFont.truetype(path, 200).getbbox("H")
    return float(bottom - top) / 200
