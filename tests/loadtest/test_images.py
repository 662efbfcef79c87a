"""Pictures drawn from names: distinct, repeatable, of the format and size that was asked for."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image

from loadtest.images import Form, picture


def pixels(file: bytes) -> bytes:
    with Image.open(BytesIO(file)) as image:
        return image.tobytes()


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_picture_has_the_form_and_size_asked_for(form: Form) -> None:
    with Image.open(BytesIO(picture("a", form, 90, 61))) as image:
        assert (image.format, image.size, image.mode) == (form, (90, 61), "RGB")


def test_the_same_name_is_the_same_file() -> None:
    assert picture("a") == picture("a")


def test_no_two_of_many_names_have_the_same_pixels() -> None:
    files = [picture(f"seed image {number}", "JPEG", 32, 32) for number in range(200)]
    assert len({pixels(file) for file in files}) == 200


def test_a_picture_smaller_than_its_detail_can_be_drawn() -> None:
    with Image.open(BytesIO(picture("a", "PNG", 3, 1))) as image:
        assert image.size == (3, 1)
