"""What `pheye doctor` says of the folders that a server would write to."""

from __future__ import annotations

from pathlib import Path

from service.machine.folders import folders
from service.settings import Settings


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
