"""The wheel, really built: all of the service and the model, and none of the experiments."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXPERIMENTS = "model/ablation/"
PHEYE = "import sys; sys.argv[0] = 'pheye'; from service.cli.main import main; main()"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what the wheel installs."""
    built, folder = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(folder)
    return folder


def pheye(installed: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command from what was installed, away from the repository."""
    command = [sys.executable, "-c", PHEYE, *words]
    environment = {"PYTHONPATH": str(installed), "COLUMNS": "200"}
    return subprocess.run(command, cwd=installed, env=environment, capture_output=True, text=True, check=False)


def test_the_wheel_has_both_rooms_without_the_experiments(installed: Path) -> None:
    sources = {
        path.relative_to(ROOT).as_posix()
        for room in ("model", "service")
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert any(name.startswith(EXPERIMENTS) for name in sources)
    found = {path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()}
    assert {name for name in found if ".dist-info/" not in name} == {
        name for name in sources if not name.startswith(EXPERIMENTS)
    }


def test_every_command_is_there_and_the_one_of_the_experiments_says_where_they_are(installed: Path) -> None:
    shown = pheye(installed, "dev", "--help")
    assert shown.returncode == 0
    assert "ablate" in shown.stdout
    asked = pheye(installed, "dev", "ablate", "study")
    assert asked.returncode == 2
    assert "No module named 'model.ablation'; experiments come with the source only" in asked.stderr
    assert not (installed / "study").exists()
