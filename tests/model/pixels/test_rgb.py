"""Pictures as they are seen: on white, upright, in eight bits, whatever they are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.pixels.rgb import DecodedPicture, RgbRows, UnreadablePixels, to_rgb
from model.pixels.tiles import prepare
from tests.support.pictures import on_white, scene
from tests.support.profiles import rgb_profile


def clear_at(image: Image.Image, value: Any) -> Image.Image:
    image.info["transparency"] = value
    return image


def with_alpha(image: Image.Image, alpha: np.ndarray) -> Image.Image:
    image.putalpha(Image.fromarray(alpha))
    return image


def two_tones() -> np.ndarray:
    return np.where(np.arange(40)[:, None] * np.ones(30) < 20, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(Image.merge("LA", (Image.new("L", (30, 40)), Image.fromarray(255 - two_tones()))), id="LA"),
        pytest.param(
            Image.merge("RGBA", (*[Image.new("L", (30, 40))] * 3, Image.fromarray(255 - two_tones()))), id="RGBA"
        ),
        pytest.param(
            Image.merge("RGBA", (*[Image.new("L", (30, 40))] * 3, Image.fromarray(255 - two_tones()))).convert("RGBa"),
            id="RGBa",
        ),
        pytest.param(
            Image.merge("LA", (Image.new("L", (30, 40)), Image.fromarray(255 - two_tones()))).convert("La"), id="La"
        ),
        pytest.param(with_alpha(Image.new("PA", (30, 40)), 255 - two_tones()), id="PA"),
        pytest.param(clear_at(Image.fromarray(two_tones() // 2), 127), id="L-with-a-clear-tone"),
        pytest.param(clear_at(Image.fromarray(two_tones() // 2).convert("RGB"), (127, 127, 127)), id="RGB"),
        pytest.param(clear_at(Image.fromarray(two_tones()).convert("1"), 255), id="1"),
        pytest.param(clear_at(Image.fromarray(two_tones() // 255).convert("P"), 1), id="P"),
        pytest.param(clear_at(Image.fromarray(two_tones() // 255).convert("P"), b"\xff\x00"), id="P-by-entries"),
        pytest.param(clear_at(Image.fromarray(two_tones().astype(np.uint16) * 9), 2295), id="I;16"),
    ],
)
def test_what_is_clear_is_white_and_what_is_black_stays_black(image: Image.Image) -> None:
    rows = RgbRows(DecodedPicture(image, image.size))
    whole = np.concatenate([np.asarray(strip) for _, strip in rows.strips()])
    assert rows.has_transparency
    np.testing.assert_array_equal(whole[20:], 255)
    np.testing.assert_array_equal(whole[:20] // 20, 0)


def test_half_transparent_pixels_are_laid_on_white_at_full_size() -> None:
    noise = np.random.default_rng(0).integers(256, size=(60, 50, 4), dtype=np.uint8)
    image = Image.fromarray(noise)
    whole, expected = np.asarray(to_rgb(image), np.int16), np.asarray(on_white(image), np.int16)
    assert np.abs(whole - expected).max() <= 1
    # Resized first, the colours of clear pixels would leak into their neighbours.
    np.testing.assert_array_equal(prepare(image, 8, 2).tiles, prepare(to_rgb(image), 8, 2).tiles)


def test_an_opaque_alpha_channel_changes_nothing() -> None:
    opaque = scene().convert("RGBA")
    assert prepare(opaque, 16, 2).image_key == prepare(scene(), 16, 2).image_key
    assert not prepare(opaque, 16, 2).facts.has_transparency


@pytest.mark.parametrize("orientation", range(1, 9))
def test_strips_of_a_turned_picture_are_rows_of_the_turned_whole(
    orientation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.pixels.rgb.STRIP_PIXELS", 500)
    image = scene().resize((70, 40))
    rows = RgbRows(DecodedPicture(image, image.size, orientation))
    turn = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}.get(orientation)
    whole = image if turn is None else image.transpose(Image.Transpose(turn))
    assert rows.size == whole.size
    strips = list(rows.strips())
    assert len(strips) > 3
    np.testing.assert_array_equal(np.concatenate([np.asarray(strip) for _, strip in strips]), np.asarray(whole))


def test_floating_point_grey_from_0_to_1_is_scaled() -> None:
    grey = np.asarray(scene().convert("L"))
    image = Image.fromarray((grey / 255).astype(np.float32))
    np.testing.assert_array_equal(np.asarray(to_rgb(image))[..., 0], grey)
    overshot = np.clip(grey / 255 * 1.004 - 0.002, -0.002, 1.002).astype(np.float32)  # as resizing leaves it
    assert np.abs(np.asarray(to_rgb(Image.fromarray(overshot)), np.int16)[..., 0] - grey).max() <= 1


@pytest.mark.parametrize("value", [2.0, 255.0, -0.5, float("nan"), float("inf")])
def test_other_floating_point_numbers_are_refused_in_words(value: float) -> None:
    levels = np.full((3000, 500), 0.5, np.float32)
    levels[2500, 7] = value
    with pytest.raises(UnreadablePixels, match=r"floating-point numbers from .* only 0 \(black\) to 1 \(white\)"):
        to_rgb(Image.fromarray(levels))


def test_sixteen_and_thirty_two_bits_are_scaled() -> None:
    deep = np.asarray(scene().convert("L")).astype(np.uint16) * 257
    for image in (Image.fromarray(deep), Image.fromarray(deep.astype(np.int32))):
        np.testing.assert_array_equal(np.asarray(to_rgb(image))[..., 0], deep >> 8)


def test_colours_are_converted_before_they_are_laid_on_white() -> None:
    image = Image.new("RGBA", (4, 4), (200, 100, 50, 128))
    image.info["icc_profile"] = rgb_profile()
    half = [(part + 255) / 2 for part in (213, 95, 31)]
    assert to_rgb(image).getpixel((0, 0)) == pytest.approx(half, abs=2)


def test_pictures_of_other_sizes_and_scales_have_other_keys() -> None:
    image = scene().resize((40, 40))
    names = {
        prepare(DecodedPicture(image, size, reduction=scale), 8, 2).image_key
        for size, scale in (((40, 40), 1), ((80, 80), 2), ((79, 80), 2), ((160, 160), 4))
    }
    assert len(names) == 4
