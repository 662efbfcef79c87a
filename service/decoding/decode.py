"""Decoding and tiling of one image file, in the process that calls.

Owns which images are refused and in which words. Knows no processes: the service runs it in its decoders, the commands
that answer their own user's files in a thread. Safe from any thread, and slow.
"""

from __future__ import annotations

import logging
import re
import warnings
from io import BytesIO

from PIL import BmpImagePlugin, GifImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin
from PIL import WebPImagePlugin as WebpImagePlugin

from model.tiles import TiledImage, prepare
from service.decoding.file_checks import check_file, check_size
from service.errors import InvalidField, ServiceError, TooLarge, UnsupportedImage
from service.images import ImageSource

# What starts a file of each format we read. The plugins are called directly: `Image.open` would first apply Pillow's
# own limit on pixels, which is a global of the process and warns instead of refusing.
_READERS = (
    (re.compile(rb"\xff\xd8\xff"), JpegImagePlugin.jpeg_factory),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), PngImagePlugin.PngImageFile),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), WebpImagePlugin.WebPImageFile),
    (re.compile(rb"GIF8[79]a"), GifImagePlugin.GifImageFile),
    (re.compile(rb"BM"), BmpImagePlugin.BmpImageFile),
    (re.compile(rb"II\*\x00|MM\x00\*|II\+\x00|MM\x00\+"), TiffImagePlugin.TiffImageFile),
)
READABLE = "JPEG, PNG, WEBP, GIF, BMP or TIFF"

logger = logging.getLogger("pheye.images")


def silence_pillow() -> None:
    """Keep what Pillow says about odd files out of log and standard error, in this process.

    A file can hold tens of thousands of bad tags, each of which is worth a warning to Pillow.
    """
    logging.getLogger("PIL").setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=r"PIL\.")


def tile(source: ImageSource, *, max_pixels: int, tile_px: int, level: int) -> TiledImage:
    """Check, decode and tile an image.

    Args:
        source: the image as it arrived.
        max_pixels: most pixels accepted, judged before anything of that size is allocated.
        tile_px: side of a tile.
        level: local tiles along each side.

    Raises:
        BadRequest: the data URI's base64 is broken.
        UnsupportedImage: of no format that is read here.
        TooLarge: too many pixels.
        InvalidField: broken, cut short, or more beside the picture than is read.
        MemoryError: the process may not have what it needs.
    """
    data = source.file_bytes()
    if not data:
        raise InvalidField("image: the file is empty")
    try:
        with _open(data, max_pixels) as image:
            check_size(image.width, image.height, max_pixels)
            return prepare(image, tile_px, level)
    except (ServiceError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise TooLarge(f"image: a part of it has more than the {max_pixels} pixels allowed") from None
    except Exception as error:  # Pillow's readers let through whatever their parsing meets, struct.error to KeyError
        logger.info("unreadable image: %s: %s", type(error).__name__, error)
        raise InvalidField("image: broken or cut short; it could not be decoded") from error


def _open(data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    for start, reader in _READERS:
        if start.match(data):
            check_file(data, max_pixels)
            return reader(BytesIO(data), "")
    raise UnsupportedImage(f"image: not of a format that is read here; send {READABLE}")
