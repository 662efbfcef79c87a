"""Fuzzing of the image reader: whatever the bytes, an image or a refusal; never a crash, never anything else."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from service.decoding.decode import tile
from service.errors import ServiceError
from service.images import ImageSource
from tests.support.fuzzing import KINDS, TELLING, edited, fuzz_images, seeds

edits = st.tuples(
    st.sampled_from(KINDS),
    st.floats(0.0, 1.0, exclude_max=True),
    st.sampled_from(TELLING) | st.binary(min_size=1, max_size=8),
)


@settings(max_examples=300, derandomize=True)
@given(st.sampled_from(seeds()), st.lists(edits, min_size=1, max_size=6))
def test_an_edited_file_is_an_image_or_a_refusal(file, changes):
    with suppress(ServiceError):
        image = tile(ImageSource(edited(file, changes)), max_pixels=100_000, tile_px=8, level=2)
        assert image.tiles.shape == (5, 8, 8, 3)


@settings(max_examples=200, derandomize=True)
@given(
    st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"RIFF0000WEBP", b""]),
    st.binary(),
)
def test_any_bytes_behind_the_start_of_a_file_are_an_image_or_a_refusal(start, rest):
    with suppress(ServiceError):
        tile(ImageSource(start + rest), max_pixels=100_000, tile_px=8, level=2)


def test_edited_files_end_no_decoder():
    outcomes = fuzz_images(300)
    assert sum(outcomes.values()) == 300
    assert outcomes["image"] > 10
    assert not any(outcomes[reason] for reason in ("crash", "timeout", "memory", "killed"))
