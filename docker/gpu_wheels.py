"""Gather the packages that the service needs and a CUDA image with torch and transformers lacks, as wheels.

`python docker/gpu_wheels.py FOLDER` fetches them for Python 3.12 on x86-64, each in the version installed here, and
adds a wheel that holds nothing but this project's name and version, by which the service introduces itself. There:

    python3 -m pip install --no-index --no-deps --target SITE FOLDER/*.whl; export PYTHONPATH=SITE
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

PACKAGES = (
    "annotated-doc",
    "annotated-types",
    "anyio",
    "cachetools",
    "click",
    "deprecated",
    "fastapi",
    "fastapi-offline",
    "h11",
    "ijson",
    "limits",
    "markdown-it-py",
    "mdurl",
    "opentelemetry-api",
    "pydantic",
    "pydantic-core",
    "pydantic-settings",
    "pygments",
    "python-dotenv",
    "python-multipart",
    "rich",
    "shellingham",
    "starlette",
    "structlog",
    "typer",
    "typing-extensions",
    "typing-inspection",
    "uvicorn",
    "wrapt",
)
PYTHON = "3.12"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
PROJECT = "pheye-service"
MOST_BYTES = 25_000_000


def main(folder: Path) -> int:
    """Fill the folder; exit code 1 if it came out too large to carry."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        old.unlink()  # two versions of one package would not install
    download(folder, [f"{package}=={version(package)}" for package in PACKAGES])
    name_wheel(folder, version(PROJECT))
    wheels = sorted(folder.glob("*.whl"))
    size = sum(wheel.stat().st_size for wheel in wheels)
    sys.stdout.write(f"{len(wheels)} wheels, {size / 1e6:.1f} MB, in {folder}\n")
    return 0 if size <= MOST_BYTES else 1


def download(folder: Path, pinned: list[str]) -> None:
    """Fetch wheels for the other machine."""
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--python-version",
         PYTHON, "--implementation", "cp", *platforms, "--dest", str(folder), *pinned],
        check=True,
    )  # fmt: skip


def name_wheel(folder: Path, number: str) -> Path:
    """Write a wheel of this project without its code, which is run from its source."""
    stem = f"{PROJECT.replace('-', '_')}-{number}"
    info, path = f"{stem}.dist-info", folder / f"{stem}-py3-none-any.whl"
    files = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {PROJECT}\nVersion: {number}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: gpu_wheels\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in (files | {f"{info}/RECORD": record}).items():
            wheel.writestr(name, text)
    return path


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
