"""Colour profiles: converted where they say something, ignored where they do not, and never in the way."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageCms

from model.pixels.colour import MAX_PROFILE_BYTES, conversion
from tests.support.profiles import SRGB, cmyk_profile, grey_profile, rgb_profile


def converted(colour: tuple[int, ...], mode: str, profile: bytes) -> tuple[int, ...]:
    return conversion(profile, mode)(Image.new(mode, (2, 2), colour if len(colour) > 1 else colour[0])).getpixel((0, 0))


def test_display_p3_becomes_srgb() -> None:
    # By the matrices of both spaces: (200, 100, 50) of Display P3 is (213, 95, 31) of sRGB.
    assert converted((200, 100, 50), "RGB", rgb_profile()) == pytest.approx((213, 95, 31), abs=2)
    assert converted((90, 90, 90), "RGB", rgb_profile()) == pytest.approx((90, 90, 90), abs=1)


@pytest.mark.parametrize(
    "profile",
    [
        pytest.param(rgb_profile(SRGB), id="by-its-numbers"),
        pytest.param(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), id="of-littlecms"),
    ],
)
def test_a_profile_of_srgb_changes_no_pixel(profile: bytes) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(256, size=(20, 20, 3), dtype=np.uint8))
    assert conversion(profile, "RGB")(noise) is noise


def test_grey_and_ink_have_profiles_too() -> None:
    # A linear tone of 0.5 is 188 of sRGB.
    assert converted((128,), "L", grey_profile(1.0)) == pytest.approx((188, 188, 188), abs=2)
    red, _, blue = converted((128, 0, 0, 0), "CMYK", cmyk_profile())
    assert red > 200 > blue + 50  # the paper is yellow, and shines through
    assert max(converted((0, 0, 0, 255), "CMYK", cmyk_profile())) < 120


@pytest.mark.parametrize(
    "profile",
    [
        pytest.param(b"", id="none"),
        pytest.param(b"no profile", id="text"),
        pytest.param(rgb_profile()[:300], id="cut"),
        pytest.param(rgb_profile()[:128] + b"\xff" * 400, id="absurd-tags"),
        pytest.param(cmyk_profile(), id="for-ink"),
        pytest.param(grey_profile(2.2), id="for-grey"),
        pytest.param(rgb_profile() + bytes(MAX_PROFILE_BYTES), id="too-large"),
    ],
)
def test_a_profile_that_does_not_fit_is_ignored(profile: bytes) -> None:
    assert converted((200, 100, 50), "RGB", profile) == (200, 100, 50)
