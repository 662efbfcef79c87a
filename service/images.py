"""Images from clients, checked and tiled: data URIs, formats, bounds in bytes and pixels.

Owns which images are refused and in which words. Knows no HTTP; `model.tiles` knows the tiles. `tile` is slow and
meant for a preprocessing thread; every function is safe from any thread. Image data never enters a message.
"""

from __future__ import annotations

import base64
import binascii
import logging
import re
from dataclasses import dataclass
from io import BytesIO

from PIL import BmpImagePlugin, GifImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin
from PIL import WebPImagePlugin as WebpImagePlugin

from model.tiles import TiledImage, prepare
from service.errors import BadRequest, InvalidField, TooLarge, UnsupportedImage

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
# Resizing goes across first, so a needle one pixel wide would grow to a tile's width times its height. No photograph
# is longer, and neither JPEG nor GIF can hold more.
MAX_SIDE_PX = 65_535
_DATA_URI = re.compile(r"data:[^,;]{0,100}(?:;[^,;]{1,100}){0,4}?;base64,", re.IGNORECASE)

logger = logging.getLogger("pheye.images")


@dataclass(frozen=True, slots=True)
class ImageSource:
    """An image as it arrived: the bytes of a file, or a data URI that looks like one."""

    content: bytes | str

    def file_bytes(self) -> bytes:
        """The bytes of the image file.

        Raises:
            BadRequest: the data URI's base64 is broken.
        """
        return self.content if isinstance(self.content, bytes) else _decode(self.content)


def check_data_uri(uri: str) -> ImageSource:
    """Check the head of a data URI; its base64 is decoded later, off the event loop.

    Raises:
        BadRequest: a link, or something else.
    """
    if uri[:8].lower().startswith(("http://", "https://")):
        raise BadRequest("image_url: fetching URLs is off; send a data URI or upload")
    if _DATA_URI.match(uri) is None:
        raise BadRequest("image_url: not a base64 data URI; send data:image/jpeg;base64,... or upload the file")
    return ImageSource(uri)


def _decode(uri: str) -> bytes:
    try:
        return base64.b64decode(uri[uri.index(",") + 1 :], validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest("image_url: broken base64; keep the padding and leave out line breaks") from None


def tile(source: ImageSource, *, max_pixels: int, tile_px: int, level: int) -> TiledImage:
    """Check, decode and tile an image.

    Args:
        source: the image as it arrived.
        max_pixels: most pixels accepted, judged from the header before anything is decoded.
        tile_px: side of a tile.
        level: local tiles along each side.

    Raises:
        BadRequest: the data URI's base64 is broken.
        UnsupportedImage: of no format that is read here.
        TooLarge: too many pixels.
        InvalidField: broken or cut short.
    """
    data = source.file_bytes()
    if not data:
        raise InvalidField("image: the file is empty")
    try:
        with _open(data) as image:
            _check_size(image.width, image.height, max_pixels)
            return prepare(image, tile_px, level)
    except (UnsupportedImage, TooLarge, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise TooLarge(f"image: a part of it has more than the {max_pixels} pixels allowed") from None
    except Exception as error:  # Pillow's readers let through whatever their parsing meets, struct.error to KeyError
        logger.info("unreadable image: %s: %s", type(error).__name__, error)
        raise InvalidField("image: broken or cut short; it could not be decoded") from error


def _open(data: bytes) -> ImageFile.ImageFile:
    for start, reader in _READERS:
        if start.match(data):
            return reader(BytesIO(data), "")
    raise UnsupportedImage(f"image: not of a format that is read here; send {READABLE}")


def _check_size(width_px: int, height_px: int, max_pixels: int) -> None:
    if width_px * height_px > max_pixels:
        raise TooLarge(
            f"image: {width_px} x {height_px} pixels are more than the {max_pixels} allowed; make it smaller"
        )
    if max(width_px, height_px) > MAX_SIDE_PX:
        raise TooLarge(f"image: {width_px} x {height_px} pixels: no side may be longer than {MAX_SIDE_PX}")
