"""Take out of the image's environment what serving never loads, and try what is left.

It is the last step of the Dockerfile's build stage, run by the environment's own Python. It removes torch's headers,
test programs and tools, the tests of every package, and the files from which transformers was generated. It strips the
symbols of the three largest libraries that only a debugger reads. Compiled code (.pyc) is kept of what a service loads;
everything else runs as before, and starts a little slower. To find out what that is it serves a picture, so an
environment that lost too much ends the build.
"""

from __future__ import annotations

import compileall
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from io import BytesIO
from pathlib import Path

import httpx
from PIL import Image, ImageDraw

PACKAGES = Path(sysconfig.get_paths()["purelib"])
NOT_LOADED = (
    "torch/include", "torch/test", "torch/bin/[!t]*", "torch/bin/test*", "torch/lib/*_test.so",
    "**/tests", "**/__pycache__", "transformers/models/*/modular_*.py",
)  # fmt: skip
# 95 and 19 MB of symbols; not those of others.
STRIPPED = ("torch/lib/libtorch_cpu.so", "torch/lib/libtorch_python.so", "llvmlite/binding/libllvmlite.so")
# A service on a GPU loads Triton, which a build need not have, and one with int8 loads numba.
WHOLLY_COMPILED = ("model", "service", "triton", "numba", "llvmlite")
SERVER = "http://127.0.0.1:8000"
READY_S = 900.0  # in int8 it compiles before, which takes long where a build is emulated or shares its cores


def main() -> None:
    """Make the environment smaller, and show by how much."""
    before = size_bytes(PACKAGES)
    remove()
    strip()
    for name in WHOLLY_COMPILED:
        if importlib.util.find_spec(name):
            compileall.compile_dir(PACKAGES / name, quiet=2)
    for dtype in ("auto", "int8"):
        print(f"answered in {dtype}:", serve_once(dtype), flush=True)  # noqa: T201
    print(f"{PACKAGES}: {before / 1e6:.0f} MB became {size_bytes(PACKAGES) / 1e6:.0f} MB")  # noqa: T201


def size_bytes(folder: Path) -> int:
    """Sum up the files of a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def remove() -> None:
    """Remove what no import statement of a service reaches."""
    for pattern in NOT_LOADED:
        for path in list(PACKAGES.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def strip() -> None:
    """Strip symbols, where the build has the tool for it; the dynamic ones stay."""
    if not shutil.which("strip"):
        print("no `strip` (binutils) here: libraries keep their symbols, 114 MB")  # noqa: T201
        return
    for name in STRIPPED:
        subprocess.run(["strip", "--strip-unneeded", PACKAGES / name], check=True)  # noqa: S603, S607 - our own words


def serve_once(dtype: str) -> str:
    """Serve a picture as the image does, in a number format, which compiles what it loads, and return the caption."""
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": "",
            "HF_HOME": home,
            "NUMBA_CACHE_DIR": home,
            "PHEYE_DTYPE": dtype,
        }
        server = subprocess.Popen([Path(sys.executable).with_name("pheye"), "serve"], env=environment)  # noqa: S603
        try:
            caption = ask()
        finally:
            server.send_signal(signal.SIGTERM)
            code = server.wait(timeout=60)
    if code:
        raise SystemExit(f"the server ended with {code}")
    return caption


def ask() -> str:
    """Ask the server for a caption as soon as it is ready."""
    end = time.monotonic() + READY_S
    while not is_ready():
        if time.monotonic() > end:
            raise SystemExit(f"the server was not ready within {READY_S:.0f} s")
        time.sleep(0.5)
    answer = httpx.post(f"{SERVER}/v1/caption", files={"image": picture()}, timeout=READY_S)
    return str(answer.raise_for_status().json()["caption"])


def is_ready() -> bool:
    """Say whether the server answers requests."""
    try:
        return httpx.get(f"{SERVER}/readyz", timeout=5).is_success
    except httpx.TransportError:
        return False


def picture() -> bytes:
    """Draw a red disc, as the bytes of a JPEG file."""
    image, file = Image.new("RGB", (448, 448), "white"), BytesIO()
    ImageDraw.Draw(image).ellipse((100, 100, 300, 300), fill="red")
    image.save(file, "JPEG")
    return file.getvalue()


if __name__ == "__main__":
    main()
