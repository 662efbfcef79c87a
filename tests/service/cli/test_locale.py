"""Commands in the plainest locale: names and texts beyond ASCII are read and written as ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[3]
PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
CAPTIONS = {"grün.png": "Ein grüner Stern … schön.", "日本.png": "星が一つ", "-rf.png": "plain"}


def test_odd_names_and_captions_become_a_manifest(tmp_path: Path) -> None:
    folder = tmp_path / "bilder"
    folder.mkdir()
    for name in [*(name.encode() for name in CAPTIONS), b"caf\xe9.png", b"a\nb.png"]:
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            Image.new("RGB", (2, 2)).save(file, "PNG")
    lines = [f"{name}\t{caption}\n" for name, caption in CAPTIONS.items()]
    (tmp_path / "texte.txt").write_text("".join(lines), encoding="utf-8")
    words = ["manifest", "folder", "bilder", "eigene Bilder.jsonl", "--captions", "texte.txt"]
    done = subprocess.run(
        [sys.executable, "-m", "service.cli.entry", *words],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **PLAIN},
        capture_output=True,
        timeout=120,
        check=False,
    )
    said = done.stderr.decode("utf-8")
    assert done.returncode == 0, said
    made = [json.loads(line) for line in (tmp_path / "eigene Bilder.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {line["image"].removeprefix("bilder/"): line["response"] for line in made} == CAPTIONS
    assert "2 x picture without a caption: a\\nb.png, caf" in said
    assert "Traceback" not in said
