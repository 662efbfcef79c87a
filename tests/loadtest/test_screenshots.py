"""Sequences of screenshots: what is drawn, and what is told of what a server said."""

from __future__ import annotations

import itertools
import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from loadtest.screenshots.__main__ import main
from loadtest.screenshots.draw import SCREEN_PX, SEQUENCES
from tests.support.scripted import JSON, Line, serving

CHANGED = {"typed": (1, 1), "window": (1, 4), "scrolled": (9, 9), "unrelated": (9, 9)}  # parts of 3 x 3: least, most


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_frame_differs_from_the_one_before_in_as_many_parts_as_its_sequence_says(name: str) -> None:
    frames = [np.asarray(Image.open(BytesIO(file)).convert("RGB")) for file in SEQUENCES[name](3, 1)]
    assert {(frame.shape[1], frame.shape[0]) for frame in frames} == {SCREEN_PX}
    for before, after in itertools.pairwise(frames):
        down = np.array_split((before != after).any(axis=2), 3)
        parts = [part.any() for strip in down for part in np.array_split(strip, 3, axis=1)]
        least, most = CHANGED[name]
        assert least <= sum(parts) <= most


def metrics(cache_bytes: int) -> Line:
    text = f'# TYPE pheye_feature_cache_bytes gauge\npheye_feature_cache_bytes{{worker="0"}} {cache_bytes}\n'
    return (200, "text/plain", None, text.encode())


def answer(cached: int) -> Line:
    usage = {"image_tiles": 10, "image_tiles_cached": cached}
    return (200, JSON, None, json.dumps({"usage": usage, "timings": {"encode": 0.5}}).encode())


def odd(tiles: bytes, seconds: bytes) -> Line:
    usage = b'{"image_tiles": %s, "image_tiles_cached": 1}' % tiles
    return (200, JSON, None, b'{"usage": %s, "timings": {"encode": %s}}' % (usage, seconds))


def test_the_first_frame_of_each_sequence_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    frames = [metrics(0), answer(0), metrics(1000), metrics(1000), answer(8), metrics(1200)]
    with serving(*frames * len(SEQUENCES)) as server:
        assert main([server.url, "--frames", "2", "--json"]) == 0
        assert not server.lines
    told = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in told] == list(SEQUENCES)
    assert all((each["encoded"], each["cache_bytes"], each["encode_s"]) == (2, 200, 0.5) for each in told)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([metrics(0), (200, JSON, None, b'{"caption": "x"}'), metrics(0)], "does not tell how many tiles"),
        ([metrics(0), odd(b"1e999", b"1"), metrics(0)], "no numbers of tiles or seconds"),
        ([metrics(0), odd(b"-1", b"1"), metrics(0)], "no numbers of tiles or seconds"),
        ([metrics(0), odd(b"true", b"1"), metrics(0)], "no numbers of tiles or seconds"),
        ([metrics(0), odd(b"10", b"1e999"), metrics(0)], "no numbers of tiles or seconds"),
        ([metrics(0), odd(b"10", b"9" * 400), metrics(0)], "no numbers of tiles or seconds"),
        ([metrics(0), (500, JSON, None, b"broken")], "500: broken"),
        ([metrics(0), (200, JSON, None, b"[]")], "no JSON object"),
    ],
    ids=["older", "endless", "negative", "a-bool", "endless-time", "huge-time", "error", "no-object"],
)
def test_a_server_that_does_not_tell_ends_it(lines: list[Line], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(*lines) as server:
        assert main([server.url]) == 1
    assert said in capsys.readouterr().err


def test_a_sequence_has_two_frames_at_least(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["http://127.0.0.1:1", "--frames", "1"])
    assert ended.value.code == 2
    assert "Invalid value for '--frames': 1 is not 2 or more frames" in capsys.readouterr().err
