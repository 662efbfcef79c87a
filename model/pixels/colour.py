"""Colour profiles (ICC): from the colours of a file to sRGB, in which the model was trained.

A profile that is broken, too large or for another kind of pixels is ignored: it refuses no picture. Transforms are
built once for each profile and kept. Safe from any thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

MAX_PROFILE_BYTES = 4 * 2**20  # a press profile (CMYK) has half a megabyte, a few have three
KEPT_TRANSFORMS = 8
INVISIBLE = 2  # levels of 255 by which a profile may differ from sRGB and still be taken for it
_MODES = ("RGB", "L", "CMYK")

Conversion = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True, slots=True)
class _Profile:
    """A profile, known by its hash."""

    digest: bytes
    data: bytes = field(compare=False, repr=False)


def conversion(profile: bytes, mode: str) -> Conversion:
    """Return what makes sRGB of images of this mode, with the profile or as if they had none.

    Args:
        profile: the bytes of an ICC profile; may be empty or broken.
        mode: `RGB`, `L` or `CMYK`.
    """
    if mode in _MODES and 0 < len(profile) <= MAX_PROFILE_BYTES:
        transform = _transform(_Profile(hashlib.sha256(profile).digest(), profile), mode)
        if transform is not None:
            return transform.apply
    return _plain


def _plain(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(KEPT_TRANSFORMS)
def _transform(profile: _Profile, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Build a transform, or return None if there is none or it would change nothing that can be seen."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile.data))
        transform = ImageCms.buildTransform(source, _srgb(), mode, "RGB")
        probe = _probe(mode)
        shift = np.asarray(transform.apply(probe), np.int16) - np.asarray(_plain(probe), np.int16)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return None if np.abs(shift).max() <= INVISIBLE else transform


@lru_cache(1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _probe(mode: str) -> Image.Image:
    """Draw every tone of grey, or colours from all over the cube."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    tones = np.linspace(0, 255, 8 if mode == "RGB" else 4).astype(np.uint8)
    grid = np.stack(np.meshgrid(*[tones] * len(mode)), axis=-1)
    return Image.frombytes(mode, (grid.size // len(mode), 1), grid.tobytes())
