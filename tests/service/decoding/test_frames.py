"""Frames: what a decoder says is believed only as far as it is what decoders say."""

from __future__ import annotations

import json

import numpy as np
import pytest

from service.decoding.frames import ANSWER_HEAD, BrokenAnswer, read_head, refusal_head
from service.errors import InvalidField, TooLarge

FACTS = {"format": "PNG", "frames": 1, "has_transparency": False, "warnings": []}
GOOD = {
    "image_key": "a" * 64,
    "width_px": 3,
    "height_px": 2,
    "facts": FACTS,
    "tile_keys": ["b" * 64] * 5,
    "retire": "",
}


def test_a_refusal_arrives_as_the_error_it_was():
    head = read_head(refusal_head(TooLarge("image: too large"), "")[ANSWER_HEAD.size :])
    assert isinstance(head.refusal, TooLarge)
    assert head.refusal.detail == "image: too large"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"\x80\x04cos\nsystem\n", id="a-pickle"),
        pytest.param(b"[]", id="no-object"),
        pytest.param(b"{}", id="nothing"),
        pytest.param(json.dumps(GOOD | {"image_key": "../../etc/passwd"}).encode(), id="no-hash"),
        pytest.param(json.dumps(GOOD | {"tile_keys": ["b" * 64, "../b"]}).encode(), id="no-hash-of-a-tile"),
        pytest.param(json.dumps(GOOD | {"tile_keys": 5}).encode(), id="no-tiles"),
        pytest.param(json.dumps(GOOD | {"width_px": -1}).encode(), id="negative"),
        pytest.param(json.dumps(GOOD | {"width_px": "wide"}).encode(), id="no-number"),
        *(
            pytest.param(json.dumps(GOOD | {"width_px": odd}).encode(), id=f"width-{str(odd)[:5]}")
            for odd in (float("inf"), float("nan"), 1e308, 3.0, "3", True, None, 10**40)
        ),
        pytest.param(json.dumps(GOOD | {"facts": FACTS | {"frames": float("inf")}}).encode(), id="endless-frames"),
        pytest.param(b"[" * 4096, id="too-deep"),
        pytest.param(json.dumps({"refused": "SystemExit", "detail": "x", "retire": ""}).encode(), id="no-refusal"),
        pytest.param(b"\xff" * 20, id="no-text"),
        pytest.param(json.dumps(GOOD | {"facts": FACTS | {"format": "<script>"}}).encode(), id="no-format"),
        pytest.param(json.dumps(GOOD | {"facts": FACTS | {"frames": 0}}).encode(), id="no-frame"),
        pytest.param(json.dumps(GOOD | {"facts": FACTS | {"warnings": ["a"] * 9}}).encode(), id="many-warnings"),
    ],
)
def test_what_no_decoder_says_is_a_broken_answer(text):
    with pytest.raises(BrokenAnswer):
        read_head(text)


def test_an_image_is_put_together_when_each_tile_has_its_key():
    head = read_head(json.dumps(GOOD).encode())
    assert head.image(np.zeros((5, 4, 4, 3), dtype=np.uint8)).tile_keys == ("b" * 64,) * 5
    with pytest.raises(BrokenAnswer, match="5 keys for 10 tiles"):
        head.image(np.zeros((10, 4, 4, 3), dtype=np.uint8))


def test_a_long_refusal_is_cut():
    assert len(refusal_head(InvalidField("image: " + "x" * 100_000), "")) < 2000
