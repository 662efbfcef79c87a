"""Decoding and tiling of one image file, in the process that calls.

Owns which images are refused and in which words. Knows no processes: the service runs it in its decoders, the commands
that answer their own user's files in a thread. Safe from any thread, and slow.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import replace
from functools import partial
from io import BytesIO

from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from model.pixels.exif import orientation
from model.pixels.rgb import DecodedPicture, UnreadablePixels
from model.pixels.tiles import ImageFacts, MakeViews, TiledImage, prepare
from service.decoding.formats.cut_short import decoded_all_but_the_end
from service.decoding.formats.known import read_file
from service.decoding.formats.picture_file import MAX_COUNTED_FRAMES, PictureFile, check_size
from service.errors import InvalidField, ServiceError, TooLarge, UnsupportedImage
from service.images import ImageSource

IMAGE_END_MISSING = "image_end_missing"
VIEW_SIDES = 2  # a JPEG that is decoded smaller keeps so many times the side of the largest view
REDUCTIONS = (8, 4, 2)  # that libjpeg offers
# What Pillow says of pixels that it cannot read, in a file that is whole.
_UNKNOWN_PIXELS = ("unknown pixel mode", "unknown data organization", "cannot handle", "Unsupported")

logger = logging.getLogger("pheye.images")


def silence_pillow() -> None:
    """Keep what Pillow says about odd files out of log and standard error, in this process.

    A file can hold tens of thousands of bad tags, each of which is worth a warning to Pillow.
    """
    logging.getLogger("PIL").setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=r"PIL\.")


def tile(
    source: ImageSource,
    *,
    max_pixels: int,
    tile_px: int,
    level: int,
    exact: bool = False,
    make_views: MakeViews | None = None,
) -> TiledImage:
    """Check, decode and tile an image.

    Args:
        source: the image as it arrived.
        max_pixels: most pixels accepted, judged before anything of that size is allocated.
        tile_px: side of a tile.
        level: local tiles along each side.
        exact: decode a large JPEG at full size, and not at a smaller one that the tiles hardly show.
        make_views: what resizes it, as `model.pixels.tiles.prepare` takes it.

    Raises:
        BadRequest: the data URI's base64 is broken.
        UnsupportedImage: of no format, or of no kind of pixels, that is read here.
        TooLarge: too many pixels.
        InvalidField: broken, cut short, or more beside the picture than is read.
        MemoryError: the process may not have what it needs.
    """
    data = source.file_bytes()
    if not data:
        raise InvalidField("image: the file is empty")
    try:
        file = read_file(data, max_pixels)
        del data
        least_side_px = 0 if exact else VIEW_SIDES * tile_px * level
        picture, is_cut = _picture(file, max_pixels, least_side_px)
        tiled = prepare(picture, tile_px, level, make_views)
        return replace(tiled, facts=_facts(file, picture, tiled.facts, is_cut=is_cut))
    except (ServiceError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise TooLarge(f"image: a part of it has more than the {max_pixels} pixels allowed") from None
    except UnreadablePixels as error:
        raise UnsupportedImage(f"image: {error}") from None
    except Exception as error:  # Pillow's readers let through whatever their parsing meets, struct.error to KeyError
        logger.info("unreadable image: %s: %s", type(error).__name__, error)
        raise _refusal(str(error)) from error


def _refusal(said: str) -> ServiceError:
    """Tell the client of an image about which Pillow said something."""
    if any(words in said for words in _UNKNOWN_PIXELS):
        return UnsupportedImage("image: its pixels are of a kind that is not read here; save it as PNG or JPEG")
    return InvalidField("image: broken or cut short; it could not be decoded")


def _picture(file: PictureFile, max_pixels: int, least_side_px: int) -> tuple[DecodedPicture, bool]:
    """Decode a checked file, and say whether its end is missing."""
    decode = partial(_decoded, file, max_pixels, least_side_px)
    try:
        return decode(file.data), file.is_cut
    except (OSError, EOFError, SyntaxError):
        beginning = decoded_all_but_the_end(file, decode)
        if beginning is None:
            raise
        return beginning, True


def _facts(file: PictureFile, picture: DecodedPicture, seen: ImageFacts, *, is_cut: bool) -> ImageFacts:
    return replace(
        seen,
        format=file.format,
        frames=_frames(picture.image) if file.frames is None else file.frames,
        warnings=(IMAGE_END_MISSING,) if is_cut else (),
    )


def _decoded(file: PictureFile, max_pixels: int, least_side_px: int, data: bytes) -> DecodedPicture:
    """Decode the data of a file, which may be other than its own where that is cut."""
    image = file.reader(BytesIO(data), "")
    size = image.size
    check_size(*size, max_pixels)
    reduction = _reduce(image, least_side_px)
    image.load()
    if file.clear is not None:
        image.info["transparency"] = file.clear
    info = image.info
    return DecodedPicture(
        file.corrected(image, data),
        size,
        orientation(info.get("exif", b"")) if file.orientation is None else file.orientation,
        info.get("icc_profile") or b"" if file.profile is None else file.profile,
        reduction,
    )


def _reduce(image: ImageFile, least_side_px: int) -> int:
    """Have libjpeg decode a large JPEG smaller, with no side below the one given; return by how much."""
    if isinstance(image, JpegImageFile) and least_side_px:
        scale = min(image.size) // least_side_px
        for reduction in REDUCTIONS:
            if reduction <= scale:
                image.draft(None, (least_side_px, least_side_px))
                return reduction
    return 1


def _frames(image: Image.Image) -> int:
    return min(getattr(image, "n_frames", 1), MAX_COUNTED_FRAMES)
