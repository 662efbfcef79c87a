"""Shrinking of images before they are asked about, so that fine details are gone whatever the model's resolution.

The last row of Table 1 in arXiv 2501.02584 looks at images so. Refuses what `service/decoding/decode.py` refuses. Any
thread.
"""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from service.decoding.decode import tile
from service.images import ImageSource


def shrunk(file: bytes, side_px: int, max_pixels: int) -> bytes:
    """Return the image as a PNG of `side_px` x `side_px` pixels, resized as the global view is.

    Args:
        file: of any format that is read here.
        side_px: side of the square; the aspect ratio is not kept, as the model does not keep it either.
        max_pixels: most pixels accepted.

    Raises:
        ServiceError: as `service.decoding.decode.tile`.
    """
    view = tile(ImageSource(file), max_pixels=max_pixels, tile_px=side_px, level=1, exact=True).tiles[0]
    small = BytesIO()
    Image.fromarray(view).save(small, "PNG")
    return small.getvalue()
