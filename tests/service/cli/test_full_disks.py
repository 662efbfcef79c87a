"""Commands on a disk that is full or read-only: one line that names the place, exit code 1, and no half a file."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile

import pytest
from typer.testing import CliRunner

from model.checkpoint.checkpoint import open_checkpoint, random_checkpoint
from model.config import named_geometry
from model.training.artifacts.export import Trained, export, export_published
from model.training.artifacts.journal import MetricsFile, TrainingStep, read_journal
from service.batch.results.appended import read_records
from service.cli import entry
from service.cli.main import app
from tests.support.full_disks import no_file_above
from tests.support.golden import OWN_GOLDEN
from tests.support.hub import hub_of
from tests.support.warm_processes import ADDRESS, WORKERS, CommandProcess, fork_workers

GOLDEN = OWN_GOLDEN / "x2-l2"
ROOT = Path(__file__).parents[3]
KIB = 1024


def run_warm(words: list[str], limit_bytes: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run `pheye` as `run` does, in a process that is forked from one with all imports."""
    variables = os.environ | {ADDRESS: WORKERS.address}
    with TemporaryFile("w+", encoding="utf-8") as out, TemporaryFile("w+", encoding="utf-8") as err:
        outputs = (out.fileno(), err.fileno())
        process = CommandProcess(target=pheye, args=(words, limit_bytes), environment=variables, outputs=outputs)
        process.start()
        code = process.wait(120)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(words, code, out.read(), err.read())


def pheye(words: list[str], limit_bytes: int | None) -> None:
    limit(limit_bytes)
    fork_workers()
    sys.argv = ["pheye", *words]
    entry.main()


def limit(most_bytes: int | None) -> None:
    if most_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))


def run(words: list[str], limit_bytes: int | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `pheye` in a process of its own, in which no file may grow beyond the limit."""
    return subprocess.run(
        [sys.executable, "-m", "service.cli.entry", *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        preexec_fn=partial(limit, limit_bytes),
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_convert_on_a_full_disk_leaves_nothing_and_says_where(tmp_path: Path) -> None:
    done = run_warm(["convert", str(GOLDEN), str(tmp_path / "out")], limit_bytes=300 * KIB)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("pheye: ")
    assert f"'{tmp_path / 'out'}'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
    assert run_warm(["convert", str(GOLDEN), str(tmp_path / "out")]).returncode == 0
    open_checkpoint(str(tmp_path / "out"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MiB, where mounting one is allowed."""
    mount = shutil.which("mount")
    place = tmp_path / "disk"
    place.mkdir()
    if mount is None or subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True
    ).returncode:  # fmt: skip
        pytest.skip("needs the right to mount a file system; limits on files are tested without")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_convert_on_a_disk_that_is_really_full(small_disk: Path) -> None:
    done = run(["convert", str(GOLDEN), str(small_disk / "out")])
    assert (done.returncode, done.stderr) == (1, f"pheye: [Errno 28] No space left on device: '{small_disk / 'out'}'\n")
    assert list(small_disk.iterdir()) == []


def test_convert_on_a_disk_that_is_read_only(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = run_warm(["convert", str(GOLDEN), str(small_disk / "out")])
    assert (done.returncode, done.stderr) == (1, f"pheye: [Errno 30] Read-only file system: '{small_disk / 'out'}'\n")


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Three repositories, whose configs are long."""
    folder = tmp_path_factory.mktemp("hub")
    parts = ("encoder", "decoder", "tokenizer")
    for name in ("thing", "encoder", "decoder"):
        (folder / name).mkdir()
        raw = json.loads((GOLDEN / ("" if name == "thing" else name) / "config.json").read_text(encoding="utf-8"))
        raw |= {key: f"someone/{key}" for key in parts} if name == "thing" else {}
        (folder / name / "config.json").write_text(json.dumps(raw) + " " * (200 * KIB), encoding="utf-8")
    with hub_of({f"someone/{each.name}": each for each in folder.iterdir()}) as where:
        yield where


def test_a_hub_cache_on_a_full_disk_is_named_and_holds_no_half_a_file(hub: dict[str, str], tmp_path: Path) -> None:
    where = hub | {"HF_HUB_CACHE": str(tmp_path)}
    full = run(["info", "someone/thing", "--json"], limit_bytes=64 * KIB, **where)
    assert full.returncode == 1, full.stderr
    assert f"someone/thing: the hub's cache {tmp_path} cannot keep it: " in full.stderr
    again = run(["info", "someone/thing", "--json"], **where)
    assert again.returncode == 0, again.stderr
    assert all(path.stat().st_size > 200 * KIB for path in tmp_path.rglob("config.json"))


def test_a_hub_cache_that_cannot_be_written_is_named(hub: dict[str, str]) -> None:
    done = run(["info", "someone/thing"], **hub | {"HF_HUB_CACHE": "/proc/nothing"})
    assert done.returncode in (1, 2), done.stderr
    assert "someone/thing: " in done.stderr
    assert "/proc/nothing" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_result_file_on_a_full_disk_goes_on_from_its_last_whole_line(tmp_path: Path) -> None:
    images = tmp_path / "images"
    shutil.copytree(GOLDEN / "images", images)
    results = tmp_path / "out.jsonl"
    words = ["caption", str(images), "--jsonl", str(results), "--model", str(GOLDEN), "--device", "cpu"]
    words += ["--max-tokens", "4", "--threads", "1", "--temperature", "1", "--seed", "1"]
    with no_file_above(450):
        full = CliRunner().invoke(app, words)
    assert full.exit_code == 1, full.output
    assert f"'{results}'" in full.stderr
    assert results.stat().st_size == 450
    whole = len(read_records(results))
    assert 0 < whole < 6
    assert CliRunner().invoke(app, words).exit_code == 0
    assert len({record["image"] for record in read_records(results)}) == len(read_records(results)) == 6


@pytest.mark.parametrize("words", [["--version"], ["info"], ["info", "--json"]], ids=" ".join)
def test_standard_output_on_a_full_disk_is_told_in_one_line(words: list[str]) -> None:
    command = [sys.executable, "-m", "service.cli.entry", *words]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (1, "pheye: [Errno 28] No space left on device\n")


@pytest.mark.parametrize("write", [export, export_published])
def test_a_trained_checkpoint_on_a_full_disk_is_not_there(tmp_path: Path, write: object) -> None:
    made = random_checkpoint(named_geometry("pheye-micro"))
    trained = Trained(made.config, made.ranks, dict(made.tensors), made.tokenizer, {})
    with no_file_above(200 * KIB), pytest.raises(OSError, match=r"'.*/out'"):
        write(trained, tmp_path / "out")  # type: ignore[operator]
    assert list(tmp_path.iterdir()) == []


def test_a_run_s_metrics_on_a_full_disk_name_the_file(tmp_path: Path) -> None:
    step = TrainingStep(1, 9, "a", 1, 1.0, 0.5, 1e-3, 5, 1.0, 2.0)

    def write() -> None:
        with MetricsFile(tmp_path / "steps.jsonl", done=0) as file:
            file.write(step)
            file.write(step)

    with no_file_above(200), pytest.raises(OSError, match=r"steps\.jsonl"):
        write()
    assert read_journal(tmp_path / "steps.jsonl") == [step]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param(
            lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 99), "model.safetensors", id="weights"
        ),
        pytest.param(lambda folder: (folder / "config.json").write_text("[" * 99_999), "config.json", id="nesting"),
        pytest.param(
            lambda folder: (folder / "tokenizer/tokenizer.json").write_text("{}"), "tokenizer.json", id="tokenizer"
        ),
        pytest.param(
            lambda folder: (folder / "decoder/config.json").write_text(
                '{"model_type": "phi", "num_hidden_layers": 1000000000}'
            ),
            "decoder/config.json: num_hidden_layers",
            id="layers",
        ),
    ],
)
def test_serve_ends_at_once_with_one_reason_when_a_checkpoint_is_hostile(
    tmp_path: Path, damage: object, words: str
) -> None:
    folder = tmp_path / "hostile"
    shutil.copytree(GOLDEN, folder, ignore=shutil.ignore_patterns("images", "golden.safetensors", "cases.json"))
    damage(folder)  # type: ignore[operator]
    done = run_warm(["serve", "--model", str(folder), "--port", "0", "--threads", "1"])
    assert done.returncode == 1, done.stderr
    assert "giving up: " in done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    for command in (["info", str(folder)], ["convert", str(folder), str(tmp_path / "copy")]):
        if command[0] == "convert" or "tokenizer" not in words:
            refused = CliRunner().invoke(app, command)
            assert refused.exit_code == 2
            assert words in refused.stderr
    assert not (tmp_path / "copy").exists()
