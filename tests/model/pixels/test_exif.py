"""The orientation mark: found where it is, and never in the way where it is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.pixels.exif import orientation
from tests.support.pictures import BROKEN_EXIF, exif


@pytest.mark.parametrize("mark", range(1, 9))
def test_a_mark_is_found(mark: int) -> None:
    assert orientation(exif(mark)) == orientation(exif(mark)[6:]) == mark


@pytest.mark.parametrize("name", BROKEN_EXIF)
def test_broken_exif_is_upright(name: str) -> None:
    assert orientation(BROKEN_EXIF[name]) == 1


@pytest.mark.parametrize("end", range(len(exif(6))))
def test_exif_cut_anywhere_is_upright_or_marked(end: int) -> None:
    assert orientation(exif(6)[:end]) in (1, 6)


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_any_bytes_are_some_orientation(noise: bytes, xmp: bytes) -> None:
    assert 1 <= orientation(b"Exif\0\0II*\0\x08\0\0\0" + noise, xmp) <= 8


def test_xmp_tells_where_exif_does_not() -> None:
    assert orientation(b"", b'<x tiff:Orientation="6"/>') == 6
    assert orientation(exif(3), b'<x tiff:Orientation="6"/>') == 3
    assert orientation(exif(9), b"<tiff:Orientation>8</tiff:Orientation>") == 8
