"""The handle of a decoder process: an answer that comes in pieces, or is longer than an answer."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from model.pixels.tiles import TiledImage
from service.decoding.decode import tile
from service.decoding.decoder import DecoderDied, DecoderProcess
from service.decoding.frames import BrokenAnswer, refusal_head, tiles_head
from service.errors import InvalidField
from service.images import ImageSource
from tests.support.decoders import LEVEL, TILE_PX
from tests.support.serving import image_file

SOURCE = ImageSource(image_file("PNG", (30, 20)))
IMAGE = tile(SOURCE, max_pixels=10**6, tile_px=TILE_PX, level=LEVEL)
ANSWER = tiles_head(IMAGE, "") + IMAGE.tiles.tobytes()


def decoded(*pieces: bytes) -> TiledImage:
    """Ask a decoder that answers in these pieces, and then is gone."""

    async def ask() -> TiledImage:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        process: Any = SimpleNamespace(pid=None)
        with ours, theirs:
            asking = asyncio.create_task(DecoderProcess(process, ours).decode(SOURCE, TILE_PX, LEVEL))
            for piece in pieces:
                theirs.sendall(piece)
                await asyncio.sleep(0)
            theirs.shutdown(socket.SHUT_WR)
            return await asking

    return asyncio.run(ask())


@pytest.mark.parametrize("size", [1, 3, 300, len(ANSWER)])
def test_an_answer_may_come_in_pieces_of_any_size(size):
    image = decoded(*[ANSWER[start : start + size] for start in range(0, len(ANSWER), size)])
    assert (image.image_key, image.tile_keys, image.facts) == (IMAGE.image_key, IMAGE.tile_keys, IMAGE.facts)
    np.testing.assert_array_equal(image.tiles, IMAGE.tiles)


@pytest.mark.parametrize("answer", [ANSWER, refusal_head(InvalidField("image: broken"), "")])
def test_more_than_an_answer_is_a_broken_one(answer):
    with pytest.raises(BrokenAnswer):
        decoded(answer + b"x")


@pytest.mark.parametrize("length", [0, 2, 20, len(ANSWER) - 1])
def test_a_decoder_that_ends_within_its_answer_has_died(length):
    with pytest.raises(DecoderDied):
        decoded(ANSWER[:length])


def test_a_refusal_is_raised():
    with pytest.raises(InvalidField, match="broken"):
        decoded(refusal_head(InvalidField("image: broken"), ""))
