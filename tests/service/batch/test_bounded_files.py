"""Files without an end: devices, and links to them, cost no more memory than the largest file that is read."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event

import pytest

from model import bounded_files
from model.bounded_files import read_at_most
from service.batch import questions
from service.batch.answerers.forms import read_image
from service.batch.answerers.offline import _file
from service.batch.answerers.server import ServiceConnectionError, read_key
from service.batch.find_images import find_images
from service.batch.questions import QuestionsError, read_questions
from service.errors import TooLarge

ENDLESS = Path("/dev/zero")
KIB = 1024


def test_a_file_is_read_whole_and_of_a_longer_one_a_byte_too_many(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(bytes(3 * KIB))
    assert len(read_at_most(file, 3 * KIB)) == 3 * KIB
    assert len(read_at_most(file, 2 * KIB)) == 2 * KIB + 1
    assert len(read_at_most(ENDLESS, 5 << 20)) == (5 << 20) + 1
    assert read_at_most(Path("/proc/self/cmdline"), 64 * KIB), "its size is 0 until it is read"


def test_a_pipe_is_waited_for_until_nobody_waits_any_more(tmp_path: Path) -> None:
    pipe, stopped = tmp_path / "pipe.png", Event()
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        content = pool.submit(read_at_most, pipe, KIB, stopped.is_set)
        with pipe.open("wb", buffering=0) as writer:
            writer.write(b"first, ")
            assert not wait([content], 0.3).done, "its writer has not gone"
            writer.write(b"second")
        assert content.result(20) == b"first, second"
        content = pool.submit(read_at_most, pipe, KIB, stopped.is_set)
        assert not wait([content], 0.3).done
        stopped.set()
        with pytest.raises(OSError, match="nobody waits"):
            content.result(20)


def test_links_to_devices_and_pipes_in_a_folder_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    (tmp_path / "zero.jpg").symlink_to(ENDLESS)
    (tmp_path / "link.jpg").symlink_to("photo.jpg")
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert [path.name for path in find_images([tmp_path])] == ["gone.jpg", "link.jpg", "photo.jpg"]


def test_an_image_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TooLarge, match="its file has at least 1025 bytes; the service takes 1024"):
        read_image(ENDLESS, KIB)
    monkeypatch.setattr(
        "service.batch.answerers.offline.read_at_most", lambda file, stopped: bounded_files.read_at_most(file, KIB)
    )
    monkeypatch.setattr("service.batch.answerers.offline.MOST_BYTES", KIB)
    with pytest.raises(TooLarge, match="there is more than 1 GiB in its file"):
        _file(ENDLESS, KIB)


def test_questions_and_a_key_without_an_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "MOST_MIB", 1)
    with pytest.raises(QuestionsError, match="there is more than 1 MiB in it"):
        read_questions(str(ENDLESS))
    with pytest.raises(ServiceConnectionError, match="expected an API key"):
        read_key(ENDLESS)
