"""The feature folder: what is written is read again, by anybody, whole or not at all, and the bound holds."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
import safetensors.torch
import torch

from model.prompt import caption_instruction
from model.runtime.features.feature_folder import FeatureFolder, FeatureFolderError, FeatureKey
from service.messages.to_worker import Submit
from service.worker.engine import Engine
from tests.service.worker.test_engine import row, run
from tests.support.golden import fp32_runner, noise_image

SHAPE = (2, 3, 4)


def key(name: object, weights: str = "weights") -> FeatureKey:
    return FeatureKey(str(name), "prepared", weights)


def features(seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed)).to(dtype)


def opened(folder: Path, limit_bytes: int = 1 << 20, form: str = "float32 cpu", **kwargs) -> FeatureFolder:
    return FeatureFolder(folder, limit_bytes, form, kwargs.get("shape", SHAPE), kwargs.get("dtype", torch.float32))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_one_process_writes_another_reads_to_the_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    one, other = (opened(tmp_path / "new" / "folder", dtype=dtype) for _ in range(2))
    with torch.inference_mode():
        one.write(key("a"), features(1, dtype))
    one.finish()
    assert torch.equal(other.read(key("a")), features(1, dtype))
    assert other.read(key("b")) is None
    counts = other.take_counts()
    assert (counts.hits, counts.misses, counts.errors) == (1, 1, 0)
    assert one.take_counts().size_bytes == sum(path.stat().st_size for path in (tmp_path / "new" / "folder").iterdir())
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "new" / "folder").iterdir()} == {0o600}


def test_other_weights_numbers_and_geometries_are_other_features(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    folder.write(key("a"), features(1))
    folder.finish()
    assert folder.read(key("a", "others")) is None
    assert opened(tmp_path, form="int8 cpu").read(key("a")) is None
    assert opened(tmp_path, shape=(2, 3, 5)).read(key("a")) is None
    assert folder.read(key("a")) is not None


@pytest.mark.parametrize("damage", ["cut", "one bit", "empty", "no features"])
def test_a_damaged_file_is_counted_removed_and_never_used(tmp_path: Path, damage: str) -> None:
    folder = opened(tmp_path)
    folder.write(key("a"), features(1))
    folder.finish()
    (file,) = tmp_path.iterdir()
    whole = bytearray(file.read_bytes())
    whole[-9] ^= 1 if damage == "one bit" else 0
    file.write_bytes(
        {"cut": whole[:-5], "empty": b"", "no features": b"\x02\0\0\0\0\0\0\0{}"}.get(damage, bytes(whole))
    )
    assert folder.read(key("a")) is None
    folder.finish()
    assert folder.take_counts().errors == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "checksum",
    [
        *(pytest.param(torch.tensor(odd), id=str(odd)) for odd in (math.inf, -math.inf, math.nan, 1e300, -1, True)),
        pytest.param(torch.tensor([1, 2]), id="two"),
        pytest.param(torch.tensor([], dtype=torch.int64), id="none"),
        pytest.param(torch.tensor(2**64 - 1, dtype=torch.uint64), id="unsigned"),
        pytest.param(torch.tensor(complex(0, 1)), id="complex"),
    ],
)
def test_a_checksum_that_is_no_whole_number_is_a_wrong_one(tmp_path: Path, checksum: torch.Tensor) -> None:
    folder = opened(tmp_path)
    folder.write(key("a"), features(1))
    folder.finish()
    (file,) = tmp_path.iterdir()
    file.write_bytes(safetensors.torch.save({"features": features(1), "crc32": checksum}))
    assert folder.read(key("a")) is None
    assert folder.take_counts().errors == 1


def test_a_header_of_another_dtype_or_with_other_numbers_is_a_damaged_file(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    whole = safetensors.torch.save({"features": features(1), "crc32": torch.tensor(1)})
    for old, new in ((b'"I64"', b'"F4"'), (b'"I64"', b'"F8_E8M0"'), (b"[2,3,4]", b"[1e999,3,4]"), (b"[]", b"[-1]")):
        header = whole[8 : 8 + int.from_bytes(whole[:8], "little")].rstrip().replace(old, new)
        body = whole[-104:-1] if new == b'"F4"' else whole[-104:]
        folder.write(key(new), features(1))
        folder.finish()
        (file,) = tmp_path.iterdir()
        file.write_bytes(len(header).to_bytes(8, "little") + header + body)
        assert folder.read(key(new)) is None
        folder.finish()
    assert folder.take_counts().errors == 4


def test_the_least_recently_used_files_go_and_the_bound_holds(tmp_path: Path) -> None:
    folder = opened(tmp_path, limit_bytes=900)
    for number in range(5):
        folder.write(key(number), features(number))
        folder.finish()
        for path in tmp_path.iterdir():  # as if all had happened long ago, in this order
            about = path.stat()
            os.utime(path, (about.st_mtime - 100, about.st_mtime - 100))
        assert folder.read(key(0)) is not None, "used again and again"
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 900
    assert folder.read(key(4)) is not None
    assert folder.read(key(1)) is None


def test_what_is_removed_does_not_come_back_with_a_write_that_waited(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    folder.write(key("a"), features(1))
    folder.remove(key("a"))
    folder.finish()
    assert folder.read(key("a")) is None
    assert folder.take_counts().size_bytes == 0


def test_a_folder_that_fails_later_costs_no_answer_and_says_so_once(tmp_path: Path, caplog) -> None:
    folder = opened(tmp_path / "gone")
    folder.finish()
    (tmp_path / "gone").rmdir()
    for number in range(3):
        folder.write(key(number), features(number))
    folder.finish()
    assert folder.take_counts().errors == 3
    assert len(caplog.messages) == 1
    assert "the image is encoded instead" in caplog.messages[0]


def test_a_folder_that_cannot_be_made_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FeatureFolderError, match=f"feature_folder: {tmp_path}/file/folder cannot be used"):
        opened(tmp_path / "file" / "folder")


def test_another_runner_encodes_nothing_anew_and_answers_the_same(tiny, tmp_path: Path) -> None:
    vision = tiny.config.vision
    shape = (tiny.config.tiles, vision.tokens_per_tile, vision.width)
    said, tiles = [], []
    for _ in range(2):
        folder = FeatureFolder(tmp_path, 1 << 24, "float32 cpu", shape, torch.float32)
        engine = Engine(fp32_runner(tiny, feature_folder=folder), stall_s=60.0)
        engine.submit(Submit(noise_image(tiny), (row("a", caption_instruction("short"), max_tokens=8),)))
        collected = run(engine)
        folder.finish()
        said.append(collected.tokens["a"])
        tiles.append(sum(report.encoded_tiles for report in collected.reports))
    assert said[0] == said[1]
    assert tiles == [tiny.config.tiles, 0]
    engine.forget(noise_image(tiny).image_key)
    assert list(tmp_path.iterdir()) == []
