"""What `pheye doctor` says of the folders that a server would write to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.configuration.settings import Settings
from service.machine.folders import folders


def test_a_folder_is_named_with_what_is_wrong_and_is_not_made(tmp_path: Path) -> None:
    assert folders(Settings()) == []
    (tmp_path / "file").write_text("")
    (tmp_path / "open").mkdir(mode=0o777)
    (tmp_path / "open").chmod(0o777)
    new, broken = tmp_path / "a/b", tmp_path / "file/images"
    [features, images] = folders(Settings(feature_folder=new, image_folder=broken))
    assert (features.faults, len(features.lines)) == ((), 1)
    assert f"PHEYE_FEATURE_FOLDER: {new}, which will be made" in features.lines[0]
    assert not (tmp_path / "a").exists()
    assert f"PHEYE_IMAGE_FOLDER: {broken} cannot be used: Not a directory" in images.faults[0]
    [weights] = folders(Settings(prepared_weights_folder=new))
    assert f"PHEYE_PREPARED_WEIGHTS_FOLDER: {new}, which will be made" in weights.lines[0]
    [images] = folders(Settings(image_folder=tmp_path / "open"))
    assert "every user of this machine may write" in images.lines[1]
    assert images.faults == ()
    assert list((tmp_path / "open").iterdir()) == []


def test_a_broken_folder_of_prepared_weights_keeps_no_server_from_working(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    [weights] = folders(Settings(prepared_weights_folder=tmp_path / "file"))
    assert weights.faults == ()
    assert "cannot be used: Not a directory; make it a folder" in weights.lines[0]


def test_others_who_may_add_files_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    assert len(folders(Settings(prepared_weights_folder=folder))[0].lines) == 1
    folder.chmod(0o1777)  # as /tmp: others cannot replace a file in it, but be the first to write one
    [weights] = folders(Settings(prepared_weights_folder=folder))
    assert weights.lines[1].endswith("forge what is in it: choose a folder of your own in it")
    folder.chmod(0o755)
    if os.geteuid() == 0:  # whose own folders are everybody's to trust
        os.chown(folder, 65534, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    [weights] = folders(Settings(prepared_weights_folder=folder))
    assert f"belongs to another user (uid {folder.stat().st_uid})" in weights.lines[1]
