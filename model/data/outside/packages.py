"""Photographs and drawings that Debian packages ship, made small and kept in one folder to train on.

`pheye dev photographs FOLDER` calls it. The pictures themselves are not part of the project: each keeps the licence of
its package. Downloads with `apt-get`, unpacks with `dpkg-deb`; one process.
"""

from __future__ import annotations

import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from model.pixels.rgb import to_rgb

PACKAGES = (  # of Debian 12; what they ship that is a picture of something
    "blender-data", "desktop-base", "digikam-data", "extremetuxracer-data", "frozen-bubble-data", "gimp-data",
    "gnome-backgrounds", "gthumb-data", "hedgewars-data", "hugin-data", "khangman", "krita-data", "kstars-data",
    "libirrlicht-doc", "libvigraimpex-doc", "lincity-ng-data", "lomiri-wallpapers-16.04", "lomiri-wallpapers-20.04",
    "marble-data", "mate-backgrounds", "neverball-data", "ogre-1.12-doc", "openclipart-png", "opencv-doc",
    "openshot-qt", "palapeli-data", "pinball-data", "plasma-workspace-wallpapers", "propaganda-debian", "pysiogame",
    "python-matplotlib-data", "stellarium-data", "supertuxkart-data", "sway-backgrounds", "tuxmath-data",
    "tuxpaint-data", "tuxpaint-stamps-default", "ukui-wallpapers", "wesnoth-1.16-data",
)  # fmt: skip
WHOLE, CUTOUTS = "whole", "cutouts"  # opaque pictures; things cut out of their background
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
_LEAST_BYTES = 8_000  # smaller files are icons
_LEAST_PX = 96
_MOST = 500  # pictures of one package
_WHOLE_PX, _CUTOUT_PX = 480, 256  # longest side that is kept
_OPAQUE = 0.97  # share of opaque pixels above which a picture is whole


def collect(folder: Path) -> int:
    """Fill `folder` with the pictures of all packages, and return how many they are; what is there is kept.

    Raises:
        OSError: a package cannot be had or unpacked; the message says which.
    """
    for kind in (WHOLE, CUTOUTS):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        if not any(folder.glob(f"*/{package}-*")):
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                _keep(package, _unpacked(package, Path(scratch)), Path(scratch))
                for made in [path for kind in (WHOLE, CUTOUTS) for path in sorted(Path(scratch, kind).iterdir())]:
                    made.rename(folder / made.parent.name / made.name)  # all of a package, or none where it was ended
    return sum(1 for _ in folder.glob("*/*.*"))


def _unpacked(package: str, scratch: Path) -> Path:
    for command in (["apt-get", "download", package], ["sh", "-c", "dpkg-deb -x *.deb unpacked"]):
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise OSError(f"{package}: {' '.join(command)} failed: {done.stderr.strip()[-300:]}")
    return scratch / "unpacked"


def _keep(package: str, unpacked: Path, folder: Path) -> None:
    files = sorted(file for file in unpacked.rglob("*") if file.suffix.lower() in _SUFFIXES and file.is_file())
    files = [file for file in files if file.stat().st_size >= _LEAST_BYTES]
    for kind in (WHOLE, CUTOUTS):
        (folder / kind).mkdir()
    step = max(1.0, len(files) / _MOST)
    chosen = [files[int(place * step)] for place in range(int(len(files) / step))]
    for number, (kind, picture) in enumerate(_pictures(chosen)):
        name = f"{package}-{number:03d}"
        if kind == WHOLE:
            picture.save(folder / kind / f"{name}.jpg", quality=92)
        else:
            picture.save(folder / kind / f"{name}.webp", quality=92)


def _pictures(files: list[Path]) -> Iterator[tuple[str, Image.Image]]:
    for file in files:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                kind, made = _read(file)
        except (OSError, ValueError, Image.DecompressionBombError):
            continue  # a file that Pillow cannot read is no loss
        if min(made.size) >= _LEAST_PX:
            side = _WHOLE_PX if kind == WHOLE else _CUTOUT_PX
            made.thumbnail((side, side))
            yield kind, made


def _read(file: Path) -> tuple[str, Image.Image]:
    with Image.open(file) as picture:
        return (CUTOUTS, picture.convert("RGBA")) if _transparent(picture) else (WHOLE, to_rgb(picture))


def _transparent(picture: Image.Image) -> bool:
    if not picture.has_transparency_data:
        return False
    small = picture.convert("RGBA").resize((64, 64)).getchannel("A")
    return sum(small.histogram()[250:]) < _OPAQUE * 64 * 64
