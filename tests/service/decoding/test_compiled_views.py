"""Compiled resizing on its way into decoders: loaded when it is kept, looked for again, or given up."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("numba")

from model.network.compiled.compilation import available
from model.network.compiled.vision import resizing
from service.configuration.settings import Settings
from service.decoding import process
from service.decoding.compiled_views import LOADER, CompiledViewsLoader
from service.decoding.limits import decode_limits
from service.images import ImageSource
from tests.support.serving import image_file


@pytest.fixture
def alarm() -> Iterator[None]:
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def kept_after(monkeypatch: pytest.MonkeyPatch, looks: int) -> list[bool]:
    """Have the code be there at the last of so many looks; returns what the earlier ones have found."""
    found: list[bool] = []

    def load_views() -> bool:
        found.append(len(found) + 1 == looks)
        return found[-1]

    monkeypatch.setattr(available, "may_be_kept", lambda _: True)
    monkeypatch.setattr(resizing, "load_views", load_views)
    return found


@pytest.mark.usefixtures("alarm")
def test_a_timer_looks_until_the_code_is_there(monkeypatch) -> None:
    found, loader = kept_after(monkeypatch, 3), CompiledViewsLoader()
    loader.look_later(0.001)
    end_s = time.monotonic() + 30
    while loader.looks and time.monotonic() < end_s:
        time.sleep(0.01)
    assert found == [False, False, True]
    assert loader.make_views is resizing.CompiledViews


@pytest.mark.usefixtures("alarm")
def test_it_looks_no_more_often_than_it_was_told(monkeypatch) -> None:
    found, loader = kept_after(monkeypatch, 99), CompiledViewsLoader()
    loader.look_later(0.001, looks=2)
    end_s = time.monotonic() + 30
    while loader.looks and time.monotonic() < end_s:
        time.sleep(0.01)
    time.sleep(0.05)
    assert (found, loader.make_views) == ([False, False], None)


@pytest.mark.parametrize("what", ["installed", "may_be_kept"])
def test_numba_is_not_imported_in_vain(what, monkeypatch) -> None:
    found = kept_after(monkeypatch, 1)
    monkeypatch.setattr(available, what, lambda *_: False)
    loader = CompiledViewsLoader()
    loader.looks = 5
    loader.load()
    assert (found, loader.make_views) == ([], None)
    assert loader.looks == (0 if what == "installed" else 4)


def test_code_that_cannot_be_loaded_is_given_up(monkeypatch) -> None:
    kept_after(monkeypatch, 1)
    monkeypatch.setattr(resizing, "load_views", lambda: 1 // 0)
    loader = CompiledViewsLoader()
    loader.looks = 5
    loader.load()
    assert (loader.looks, loader.make_views) == (0, None)


def test_a_decoder_that_came_too_early_is_replaced_sooner(monkeypatch) -> None:
    limits = decode_limits(Settings())
    assert process._images(limits) == limits.images
    monkeypatch.setattr(LOADER, "looks", 1)
    assert process._images(limits) == process.IMAGES_BY_PILLOW < limits.images


def test_a_decoder_resizes_by_compiled_code_and_sends_the_same_tiles(monkeypatch) -> None:
    source, limits = ImageSource(image_file("PNG", (97, 61))), decode_limits(Settings())
    twin = process._tile(source, limits, 16, 2)
    made: list[int] = []

    class Noted(resizing.CompiledViews):
        def __init__(self, *sizes: int) -> None:
            made.append(1)
            super().__init__(*sizes)

    monkeypatch.setattr(LOADER, "make_views", Noted)
    ours = process._tile(source, limits, 16, 2)
    assert made
    assert (ours.image_key, ours.tile_keys) == (twin.image_key, twin.tile_keys)
    np.testing.assert_array_equal(ours.tiles, twin.tiles)


def test_kept_code_is_found_by_its_name_where_numba_keeps_it(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert not available.may_be_kept("resizing")
    folder = tmp_path / "pheye" / "kernels" / "0af7" / "compiled_1"
    folder.mkdir(parents=True)
    (folder / "resizing.resize_down-130.py311.nbi").touch()
    assert available.may_be_kept("resizing")
    assert not available.may_be_kept("projection")


def test_compiled_code_that_is_off_is_not_looked_for() -> None:
    assert decode_limits(Settings(compiled_code="auto")).compiled
    assert not decode_limits(Settings(compiled_code="off")).compiled
