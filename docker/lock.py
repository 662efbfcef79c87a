"""Write `docker/requirements.lock`: every package of the image, in one version and with the hashes of its files.

`python docker/lock.py` asks the package index, with the program `uv`. Left out are torch and what its CUDA build brings
along: the image's flavour decides where they come from, and their versions are torch's own. Addresses of indexes are
left out too, so the lock holds for any mirror.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "docker/requirements.lock"
EXTRAS = ("cpu", "gpu", "mcp", "otel")  # those that the Dockerfile names
OF_TORCH = re.compile(r"(torch|triton|cuda-\S+|nvidia-(?!ml-py)\S+)==")
HEAD = (
    "# Every package of the image but torch and its CUDA libraries. Written by docker/lock.py; `make lock` renews it.\n"
)


def main() -> int:
    """Write the versions and hashes of the image's packages."""
    extras = [word for extra in EXTRAS for word in ("--extra", extra)]
    made = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", *extras, "--constraints", "constraints.txt",
         "--universal", "--python-version", "3.11", "--generate-hashes", "--no-annotate", "--no-header",
         "--no-emit-index-url", "--no-emit-find-links", "--no-emit-package", "torch", "--quiet"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    LOCK.write_text(HEAD + without_torch(made), encoding="utf-8")
    return 0


def without_torch(lock: str) -> str:
    r"""Leave out what comes with torch, and comments.

    >>> without_torch("a==1 \\\n    --hash=sha256:0\ntriton==3 \\\n    --hash=sha256:1\n# torch\n")
    'a==1 \\\n    --hash=sha256:0\n'
    """
    entries = re.split(r"^(?=[^\s#])", re.sub(r"^#.*\n|^\n", "", lock, flags=re.MULTILINE), flags=re.MULTILINE)
    return "".join(entry for entry in entries if not OF_TORCH.match(entry))


if __name__ == "__main__":
    sys.exit(main())
