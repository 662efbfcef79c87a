"""Messages cross a pipe unchanged."""

from __future__ import annotations

import pickle
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import pytest

from model.pixels.tiles import ImageFacts, ImageKey, TiledImage, TileKey
from model.request import CacheChanges, FolderCounts, Sampling, TokenLogprob
from service.messages.from_worker import Admitted, Delta, Finished, RowTimings, StepDone, StepReport, Usage
from service.messages.rows import Flow, Row
from service.messages.to_worker import Submit

ROW = Row("r", "What?", Sampling(8, 0.5, 0.9, 7, ("x",)), given=(1, 2), flow=Flow("c", 2.0, "bulk"), origin="o")
DELTA = Delta("r", (3, 4), "ab", (TokenLogprob(-0.5, ((1, -0.5), (2, -1.0))),), 2)
FINISHED = Finished("r", "c", "length", Usage(1, 2, 3, 4, 5), RowTimings(0.1, 0.2, 0.3, 0.4), outside=True)
REPORT = StepReport(encode_s=1.0, slots_used=3, folder=FolderCounts(1, 2, 3, 4))
CHANGES = CacheChanges((ImageKey("a"),), (ImageKey("b"),), (TileKey("c"),), (TileKey("d"),))


@pytest.mark.parametrize(
    "message", [ROW, DELTA, FINISHED, Admitted("r", 0.5, resumed=True), StepDone((DELTA, FINISHED), REPORT, CHANGES)]
)
def test_a_message_arrives_as_it_was_sent(message: Any) -> None:
    assert pickle.loads(ForkingPickler.dumps(message)) == message


def test_rows_arrive_with_their_image() -> None:
    tiles = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    image = TiledImage(ImageKey("k"), 9, 8, tiles, ImageFacts("PNG"), (TileKey("a"), TileKey("b")))
    sent = Submit(image, (ROW, replace(ROW, id="s")), ahead=True)
    came = pickle.loads(ForkingPickler.dumps(sent))
    assert (came.rows, came.ahead, came.image.image_key, came.image.facts) == (sent.rows, True, "k", ImageFacts("PNG"))
    np.testing.assert_array_equal(came.image.tiles, tiles)
