"""Checkpoints: strict, safe, convertible, and from the hub's cache without a network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from model.checkpoint.checkpoint import open_checkpoint, random_checkpoint, read_config, read_tensors
from model.checkpoint.conversion import convert
from model.checkpoint.sources import CheckpointError
from model.config import GEOMETRIES
from model.layout import tensor_shapes
from tests.support.golden import OWN_GOLDEN

PUBLISHED = OWN_GOLDEN / "x2-l2"
NORM = "vision_encoder.norm_lvl_1.weight"
CROSS = "lang_encoder.model.layers.1.cross_attn_layer.attn.to_q.weight"
ALIAS = "lang_encoder.cross_attn_layers.1.attn.to_q.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "pheye-copy"
    shutil.copytree(PUBLISHED, target, ignore=shutil.ignore_patterns("images", "cases.json", "golden.safetensors"))
    return target


def change(folder: Path, edit: Callable[[dict[str, torch.Tensor]], None]) -> None:
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    edit(state)
    torch.save(state, folder / "checkpoint.pt")


def test_a_published_checkpoint_has_exactly_the_expected_tensors() -> None:
    checkpoint = open_checkpoint(str(PUBLISHED))
    assert set(checkpoint.tensors) == set(tensor_shapes(checkpoint.config, checkpoint.ranks))
    assert checkpoint.ranks == {"first": 8, "second": 16}
    assert len(torch.load(PUBLISHED / "checkpoint.pt", weights_only=True)) == 311


def test_tensors_are_mapped_from_disk_and_not_read_into_memory() -> None:
    script = (
        "import resource, sys, pathlib; from model.checkpoint.checkpoint import read_tensors\n"
        "read_tensors(pathlib.Path(sys.argv[1])); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "tensors = read_tensors(pathlib.Path(sys.argv[2]))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    big = {f"tensor{index}": torch.zeros(1 << 22) for index in range(12)}  # 200 MB
    small = {"tensor": torch.zeros(1)}

    def grown_kib(tmp: Path, suffix: str) -> int:
        (tmp / "small").mkdir(parents=True)
        (tmp / "big").mkdir()
        for name, state in (("small", small), ("big", big)):
            if suffix == "pt":
                torch.save(state, tmp / name / "checkpoint.pt")
            else:
                from safetensors.torch import save_file

                save_file(state, tmp / name / "model.safetensors")
        command = [sys.executable, "-c", script, str(tmp / "small"), str(tmp / "big")]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    import tempfile

    with tempfile.TemporaryDirectory() as tmp:
        assert grown_kib(Path(tmp) / "pt", "pt") < 50_000
        assert grown_kib(Path(tmp) / "st", "st") < 50_000


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda state: state.pop(NORM), f"tensor {NORM} is missing"),
        (lambda state: state.update({"extra.weight": torch.ones(1)}), r"tensor extra\.weight is not part of"),
        (lambda state: state.update({NORM: torch.ones(3)}), rf"tensor {NORM} has shape \(3,\); expected \(64,\)"),
        (lambda state: state.update({NORM: torch.ones(64, dtype=torch.int32)}), rf"{NORM} is torch.int32"),
        (lambda state: state.update({ALIAS: torch.ones(64, 64)}), f"{ALIAS} should repeat {CROSS}, but they differ"),
        (lambda state: state.update({ALIAS: state[CROSS][:1]}), f"{ALIAS} should repeat {CROSS}, but they differ"),
        (lambda state: state.update({ALIAS: state[CROSS].to(torch.float64)}), f"{ALIAS} should repeat {CROSS}, but"),
        (lambda state: state.pop(CROSS), f"{ALIAS} should repeat {CROSS}, which is missing"),
    ],
    ids=[
        "missing",
        "extra",
        "mis-shaped",
        "integers",
        "twin differs",
        "part of a twin",
        "twin of another kind",
        "twin alone",
    ],
)
def test_a_tensor_that_does_not_fit_is_refused_by_name(folder: Path, edit, message: str) -> None:
    change(folder, edit)
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(str(folder))


def test_twins_that_are_equal_but_stored_twice_are_accepted(folder: Path) -> None:
    change(folder, lambda state: state.update({ALIAS: state[CROSS].clone()}))
    open_checkpoint(str(folder))


class Evil:
    """Unpickling this would run code."""

    def __reduce__(self):
        return (os.mkdir, ("executed",))


def test_a_pickle_with_code_in_it_is_refused_and_not_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    torch.save({"a": Evil()}, folder / "checkpoint.pt")
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt: not a checkpoint that can be read safely"):
        open_checkpoint(str(folder))
    assert not (folder / "executed").exists()


@pytest.mark.parametrize("content", [b"", b"not a zip file"], ids=["empty", "garbage"])
def test_a_damaged_file_is_refused_with_its_path(folder: Path, content: bytes) -> None:
    (folder / "checkpoint.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt"):
        open_checkpoint(str(folder))


def test_weights_that_were_saved_as_parameters_are_read(folder: Path) -> None:
    before = open_checkpoint(str(folder)).fingerprint
    change(folder, lambda state: state.update({NORM: torch.nn.Parameter(state[NORM])}))
    after = open_checkpoint(str(folder))
    assert after.fingerprint == before
    assert not after.tensors[NORM].requires_grad


def test_weights_that_lie_in_one_another_are_converted(folder: Path, tmp_path: Path) -> None:
    head, words = "lang_encoder.lm_head.weight", "lang_encoder.model.embed_tokens.weight"
    biases = ("lang_encoder.lm_head.bias", "lang_encoder.model.final_layernorm.bias")

    def tie(state: dict[str, torch.Tensor]) -> None:
        state[head] = state[words]
        state[biases[1]] = state[biases[0]][1 : 1 + len(state[biases[1]])]

    change(folder, tie)
    convert(str(folder), tmp_path / "converted")
    before, after = open_checkpoint(str(folder)), open_checkpoint(str(tmp_path / "converted"))
    assert all(torch.equal(after.tensors[name], before.tensors[name]) for name in before.tensors)


@pytest.mark.parametrize("name", ["checkpoint.pt", "model.safetensors"])
def test_a_pointer_of_git_lfs_in_place_of_weights_is_told(folder: Path, name: str) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4700000000\n"
    (folder / name).write_text(pointer)
    with pytest.raises(CheckpointError, match=rf"{name}: a pointer of git-lfs"):
        open_checkpoint(str(folder))


def test_a_folder_without_weights_says_what_it_looked_for(folder: Path) -> None:
    (folder / "checkpoint.pt").unlink()
    with pytest.raises(CheckpointError, match=r"neither model\.safetensors nor checkpoint\.pt"):
        open_checkpoint(str(folder))


def test_a_converted_folder_is_self_contained_and_equal(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "converted"
    (folder / "training.json").write_text('{"commit": "abc"}')
    convert(str(folder), target)
    assert (target / "training.json").read_text() == '{"commit": "abc"}', "how they were made goes with the weights"
    before, after = open_checkpoint(str(PUBLISHED)), open_checkpoint(str(target))
    assert after.fingerprint == before.fingerprint
    assert after.tensors.keys() == before.tensors.keys()
    assert all(torch.equal(after.tensors[name], before.tensors[name]) for name in before.tensors)
    assert after.tokenizer.encode("What?") == before.tokenizer.encode("What?")
    assert sorted(path.name for path in target.iterdir()) == [
        "config.json", "decoder", "encoder", "model.safetensors", "tokenizer", "training.json",
    ]  # fmt: skip
    assert (target / "model.safetensors").stat().st_mode & 0o044 == 0o044  # another user may serve it
    with pytest.raises(CheckpointError, match="exists already"):
        convert(str(folder), target)


def test_other_weights_have_another_fingerprint(folder: Path) -> None:
    before = open_checkpoint(str(folder)).fingerprint
    change(folder, lambda state: state[NORM].add_(0.01))
    assert open_checkpoint(str(folder)).fingerprint != before


def hub_cache(folder: Path, cache: Path, repository: str, commit: str) -> None:
    """Lay a folder out as huggingface_hub's cache does."""
    home = cache / f"models--{repository.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(commit)
    shutil.copytree(folder, home / "snapshots" / commit)


OPEN = "import sys; from model.checkpoint.checkpoint import open_checkpoint, read_config\n"


def run_offline(cache: Path, code: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    return subprocess.run([sys.executable, "-c", OPEN + code], capture_output=True, text=True, env=environment)


def test_a_hub_id_opens_from_the_cache_offline_with_its_revision_and_its_parts(folder: Path, tmp_path: Path) -> None:
    cache, commit = tmp_path / "cache", "0" * 39 + "1"
    keys = json.loads((folder / "config.json").read_text())
    for key in ("encoder", "decoder", "tokenizer"):  # the published config names other repositories
        hub_cache(folder / key, cache, f"someone/{key}", "1" * 40)
        shutil.rmtree(folder / key)
        keys[key] = f"someone/{key}"
    (folder / "config.json").write_text(json.dumps(keys))
    hub_cache(folder, cache, "someone/Pheye-test", commit)
    done = run_offline(
        cache,
        f"c = open_checkpoint('someone/Pheye-test', '{commit}'); print(c.config.name, c.fingerprint)\n"
        "assert read_config('someone/Pheye-test') == c.config",
    )
    assert done.stdout.split() == ["Pheye-test", open_checkpoint(str(PUBLISHED)).fingerprint], done.stderr
    others = "someone/encoder, someone/decoder, someone/tokenizer"
    assert f"someone/Pheye-test: revision {commit} does not pin {others}, which its config.json" in done.stderr
    done = run_offline(cache, "open_checkpoint('someone/Pheye-test')")
    assert (done.returncode, done.stderr) == (0, ""), "who pins nothing is told nothing"


def test_a_hub_id_that_is_not_in_the_cache_is_refused_by_name_when_offline(tmp_path: Path) -> None:
    done = run_offline(tmp_path, "open_checkpoint('someone/nothing')")
    assert "CheckpointError: someone/nothing: there is no such folder, it is not in the hub's cache" in done.stderr
    assert "HF_HUB_OFFLINE is set" in done.stderr


def test_a_name_that_is_neither_folder_nor_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="neither a folder nor a hub repository id"):
        open_checkpoint("no/such/folder/at/all")


def test_random_weights_that_are_not_a_cpus_are_not_taken_for_a_cpus() -> None:
    micro = GEOMETRIES["pheye-micro"]
    assert random_checkpoint(micro).fingerprint == "pheye-micro"
    assert random_checkpoint(micro, torch.device("cuda")).fingerprint == "pheye-micro by cuda"  # nothing is made yet


def test_random_weights_are_the_same_every_time_and_say_so() -> None:
    one, two = open_checkpoint("random:pheye-micro"), open_checkpoint("random:pheye-micro")
    assert one.config.name == "pheye-micro-random-weights"
    assert all(torch.equal(one.tensors[name], two.tensors[name]) for name in one.tensors)


def test_the_configuration_of_a_folder_needs_no_weights(folder: Path) -> None:
    (folder / "checkpoint.pt").unlink()
    assert read_config(str(folder)).level == 2
    with pytest.raises(CheckpointError):
        read_tensors(folder)
