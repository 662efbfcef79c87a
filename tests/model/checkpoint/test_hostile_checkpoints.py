"""Checkpoints made by an attacker: each is refused by name, at once, and nothing in it is run."""

from __future__ import annotations

import io
import json
import os
import pickle
import resource
import shutil
import struct
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from model.checkpoint.checkpoint import open_checkpoint, read_config, read_tensors
from model.checkpoint.conversion import convert
from model.checkpoint.files import shown
from model.checkpoint.sources import CheckpointError
from tests.support.golden import OWN_GOLDEN
from tests.support.hostile_checkpoints import RunsCode, stretched_pickle

PUBLISHED = OWN_GOLDEN / "x2-l2"
NORM = "vision_encoder.norm_lvl_1.weight"
QUICK_S = 20.0  # on a machine that others keep busy; a bomb would take hours
MORE_BYTES = 400 << 20


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("hostile") / "pheye"
    convert(str(PUBLISHED), target)
    return target


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "pheye"))


@pytest.fixture(autouse=True)
def _quick_and_small() -> Iterator[None]:
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    yield
    assert time.monotonic() - started < QUICK_S
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MORE_BYTES


def header(content: bytes, claims: int | None = None) -> bytes:
    return struct.pack("<Q", len(content) if claims is None else claims) + content


def entry(shape: list[int], offsets: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def tensors(**entries: Any) -> bytes:
    return header(json.dumps(entries).encode())


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(header(b"{}", claims=1 << 60), id="a header of 2**60 bytes"),
        pytest.param(header(b"{}", claims=(1 << 64) - 1), id="a header of 2**64 - 1 bytes"),
        pytest.param(header(b"{}", claims=100 << 20) + bytes(1000), id="a header longer than the file"),
        pytest.param(header(b"[" * 100_000), id="deep nesting"),
        pytest.param(header(b'{"a":' * 100_000), id="deep objects"),
        pytest.param(tensors(a=entry([1 << 40], [0, 4])) + bytes(4), id="a giant shape"),
        pytest.param(tensors(a=entry([1 << 32, 1 << 32, 4], [0, 4])) + bytes(4), id="a shape that overflows"),
        pytest.param(tensors(a=entry([-1], [0, 4])) + bytes(4), id="a negative shape"),
        pytest.param(tensors(a=entry([1], [1 << 40, (1 << 40) + 4])) + bytes(4), id="offsets outside the file"),
        pytest.param(tensors(a=entry([1], [4, 0])) + bytes(4), id="offsets backwards"),
        pytest.param(tensors(a=entry([1], [0, 4]), b=entry([1], [0, 4])) + bytes(4), id="overlapping"),
        pytest.param(tensors(a=entry([1], [0, 4]), b=entry([1], [8, 12])) + bytes(12), id="with a hole"),
        pytest.param(tensors(a=entry([1], [0, 4], "F31")) + bytes(4), id="an unknown dtype"),
        pytest.param(pickle.dumps(RunsCode()), id="a pickle under another name"),
    ],
)
def test_a_safetensors_file_that_lies_is_refused(folder: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: not a checkpoint that can be read safely"):
        open_checkpoint(str(folder))
    assert not (folder / "executed").exists()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_safetensors_file_with_any_bytes_changed_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    save_file({"a": torch.ones(2, 3), "b": torch.zeros(4, dtype=torch.bfloat16)}, tmp_path / "model.safetensors")
    content = bytearray((tmp_path / "model.safetensors").read_bytes())
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=4)
    ):
        content[place] = value
    (tmp_path / "model.safetensors").write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with suppress(CheckpointError):
        read_tensors(tmp_path)


def pickled(folder: Path, stream: bytes, method: int = zipfile.ZIP_STORED) -> None:
    (folder / "model.safetensors").unlink()
    with zipfile.ZipFile(folder / "checkpoint.pt", "w", method) as archive:
        archive.writestr("checkpoint/data.pkl", stream)
        archive.writestr("checkpoint/version", "3")
        archive.writestr("checkpoint/byteorder", "little")
        archive.writestr("checkpoint/data/0", bytes(64))


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        pytest.param(pickle.dumps(RunsCode(), protocol=2), "its pickle names posix.mkdir", id="runs code"),
        pytest.param(pickle.dumps(RunsCode(), protocol=4), "STACK_GLOBAL", id="runs code by another way"),
        pytest.param(b"(S'executed'\niposix\nmkdir\n.", "INST", id="runs code by an old way"),
        pytest.param(
            b"\x80\x02c__builtin__\nbytearray\n\x8a\x06" + b"\xff" * 5 + b"\x00\x85R.", "bytearray", id="1 TB"
        ),
        pytest.param(b"\x80\x02ctorch\nFloatTensor\n\x8a\x06" + b"\xff" * 5 + b"\x00\x85R.", "FloatTensor", id="4 TB"),
        pytest.param(b"\x80\x02]q\x00.", "not a plain state dict", id="a list"),
        pytest.param(b"\x80\x02}.", "is missing", id="nothing"),
        pytest.param(b"(" * 1_000_000 + b".", "safely", id="marks alone"),
        pytest.param(b"\x80\x02" + b"]" * 5_000_000 + b".", "too many", id="5 million lists"),
        pytest.param(stretched_pickle((1 << 40,), (0,)), "not a plain state dict", id="4 TB of one number"),
        pytest.param(stretched_pickle((1 << 40,), (1,)), "safely", id="more than is stored"),
        pytest.param(stretched_pickle((4,), (1,), offset=1 << 50), "safely", id="from outside the file"),
        pytest.param(stretched_pickle((4,), (1,), stored=1 << 50), "is missing", id="storage larger than the file"),
    ],
)
def test_a_pickle_with_more_than_tensors_is_refused(
    folder: Path, stream: bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    pickled(folder, stream)
    with pytest.raises(CheckpointError, match=words):
        open_checkpoint(str(folder))
    assert not (folder / "executed").exists()


def test_a_pickle_that_unpacks_to_gigabytes_is_refused(folder: Path) -> None:
    pickled(folder, b"\x80\x02" + b"N0" * (32 << 20) + b"}.", zipfile.ZIP_DEFLATED)
    assert (folder / "checkpoint.pt").stat().st_size < 1 << 20
    with pytest.raises(CheckpointError, match="it is compressed"):
        open_checkpoint(str(folder))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pth", "model.pt", "model.ckpt", "training_args.bin"])
def test_other_pickles_in_the_folder_are_never_opened(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / name).write_bytes(pickle.dumps(RunsCode()))
    open_checkpoint(str(folder))
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"there is neither model\.safetensors nor checkpoint\.pt in it"):
        open_checkpoint(str(folder))
    assert not (folder / "executed").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_weight_that_is_not_finite_is_refused_by_name(folder: Path, value: float) -> None:
    state = {name: tensor.clone() for name, tensor in read_tensors(folder).items()}
    state[NORM][17] = value
    save_file(state, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=f"tensor {NORM} holds a NaN or an infinite value"):
        open_checkpoint(str(folder))


def test_the_name_of_a_tensor_is_shown_harmlessly_and_in_short(folder: Path) -> None:
    state = dict(read_tensors(folder)) | {"\x1b[31mred\nline" + "a" * 100_000: torch.ones(1)}
    save_file(state, folder / "model.safetensors")
    with pytest.raises(CheckpointError) as refused:
        open_checkpoint(str(folder))
    assert r"tensor \x1b[31mred\nline" in str(refused.value)
    assert len(str(refused.value)) < 400


def edit(path: Path, **changes: Any) -> None:
    raw = json.loads(path.read_text())
    raw.get("vision_config", raw).update(changes)
    path.write_text(json.dumps(raw))


NUMBERS = {
    "encoder": (
        *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "image_size"),
        "patch_size",
    ),
    "decoder": (
        *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size"),
        *("max_position_embeddings", "num_key_value_heads"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("value", [0, -1, 10**9, 10**12, 10**400, 1.5, "64", True, [64], {}], ids=lambda v: repr(v)[:9])
@pytest.mark.parametrize(("part", "key"), [(part, key) for part, keys in NUMBERS.items() for key in keys])
def test_a_number_that_no_model_has_is_refused_by_file_and_key(folder: Path, part: str, key: str, value: Any) -> None:
    edit(folder / part / "config.json", **{key: value})
    with pytest.raises(ValueError, match=rf"{part}/config\.json: {key}: .* is not a whole number from 1 to"):
        read_config(str(folder))


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        *(("encoder", "layer_norm_eps", value) for value in (0.0, -1.0, 1e300, float("nan"), "a", None)),
        *(("decoder", "layer_norm_eps", value) for value in (0.0, float("inf"), [])),
        *(("decoder", "partial_rotary_factor", value) for value in (0.0, -0.5, 1e300, float("nan"), "half")),
        *(("decoder", "rope_theta", value) for value in (0.0, -1.0, 1e300, float("nan"), "a", None)),
        *((part, "hidden_act", value) for part in NUMBERS for value in ("exec", "__import__('os')", 7, None, [])),
        ("encoder", "num_attention_heads", 63),
        ("encoder", "patch_size", 13),
        ("encoder", "num_channels", 1),
        ("encoder", "image_size", 4088),
    ],
)
def test_what_no_model_has_is_refused_with_the_file(folder: Path, part: str, key: str, value: Any) -> None:
    if part == "encoder" and key == "image_size":
        edit(folder / "encoder" / "config.json", patch_size=2)
    edit(folder / part / "config.json", **{key: value})
    with pytest.raises(ValueError, match=rf"{part}/config\.json: "):
        read_config(str(folder))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("level", value) for value in (0, 4, -2, 10**12)),
        *(("cross_interval", value) for value in (0, -1, 10**12)),
        *(("reduce", value) for value in (0, -1, 10**12)),
        *(("from_layer", value) for value in (-1, 10**12)),
    ],
)
def test_a_number_of_the_checkpoints_own_is_refused_by_key(folder: Path, key: str, value: int) -> None:
    edit(folder / "config.json", **{key: value})
    with pytest.raises(ValueError, match=f"{key}|from_layer"):
        read_config(str(folder))


CONFIGS = ("config.json", "encoder/config.json", "decoder/config.json", "tokenizer/tokenizer_config.json")


@pytest.mark.parametrize("name", [*CONFIGS, "tokenizer/tokenizer.json"])
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"[" * 100_000, id="deep lists"),
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, id="deep objects"),
        pytest.param(b"\xff\xfe\x00", id="not text"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b"", id="empty"),
        pytest.param(b'{"a": ' + b"9" * 10_000 + b"}", id="a number of 10,000 digits"),
        pytest.param(b"{}", id="nothing in it"),
        pytest.param(b" " * (33 << 20), id="33 MiB"),
    ],
)
def test_a_json_file_that_is_none_of_ours_is_refused_by_name(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        open_checkpoint(str(folder))


@pytest.mark.parametrize("name", [*CONFIGS, "tokenizer/tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("kind", ["pipe", "device", "link outside", "folder", "loop"])
def test_what_is_no_regular_file_of_the_checkpoint_is_not_read(folder: Path, name: str, kind: str) -> None:
    path = folder / name
    outside = folder.parent / "outside"
    shutil.copyfile(path, outside)
    path.unlink()
    make: dict[str, Callable[[], object]] = {
        "pipe": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
        "link outside": lambda: path.symlink_to(outside),
        "folder": path.mkdir,
        "loop": lambda: path.symlink_to(path.name),
    }
    make[kind]()
    with pytest.raises(ValueError, match=path.name.replace(".", r"\.") if kind != "loop" else "there is n"):
        open_checkpoint(str(folder))
    with pytest.raises(ValueError):  # noqa: PT011 - the same refusal
        convert(str(folder), folder.parent / "copy")
    assert not (folder.parent / "copy").exists()


def test_links_inside_a_checkpoint_are_followed(folder: Path) -> None:
    (folder / "config.json").rename(folder / "real.json")
    (folder / "config.json").symlink_to("real.json")
    open_checkpoint(str(folder))


@pytest.mark.parametrize("key", ["encoder", "decoder", "tokenizer"])
@pytest.mark.parametrize(
    "named", ["/etc", "../../etc", "encoder/../../other", "..", "", "a\0b", "file:///etc", "link", "x" * 5000]
)
def test_a_part_that_is_outside_the_checkpoint_is_refused_by_key(folder: Path, key: str, named: str) -> None:
    (folder / "link").symlink_to(folder.parent)
    edit(folder / "config.json", **{key: named})
    with pytest.raises(CheckpointError if named != "link" else ValueError) as refused:
        open_checkpoint(str(folder))
    assert key in str(refused.value) or shown(named)[:50] in str(refused.value)


def test_code_that_a_config_names_is_not_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    code = "import os\nos.mkdir('executed')\nclass Evil: pass\n"
    remote = {"auto_map": dict.fromkeys(("AutoConfig", "AutoModel", "AutoTokenizer"), "evil.Evil")}
    for part in ("encoder", "decoder", "tokenizer"):
        (folder / part / "evil.py").write_text(code)
        name = "tokenizer_config.json" if part == "tokenizer" else "config.json"
        edit(folder / part / name, **remote, trust_remote_code=True, tokenizer_class="Evil")
    open_checkpoint(str(folder))
    (folder / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"tokenizer/tokenizer.json: there is no such file, nor the older vocab.json"):
        open_checkpoint(str(folder))
    (folder / "tokenizer" / "vocab.json").write_text('{"<|endoftext|>": 0, "a": 1}')
    (folder / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\ny\ny\n"))
    with pytest.raises(ValueError, match="tokenizer"):
        open_checkpoint(str(folder))
    assert not (folder / "executed").exists()


def split(regex: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"pre_tokenizer": split("(a+)+$")}, "pre_tokenizer: Split", id="a regex for ever"),
        pytest.param({"pre_tokenizer": split("(a|a)(a|a)(a|a)b")}, "pre_tokenizer: Split", id="alternatives"),
        pytest.param(
            {"pre_tokenizer": split("((a{1,999}){1,999}){1,999}")}, "pre_tokenizer: Split", id="a large regex"
        ),
        pytest.param(
            {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [split("a*b")]}},
            "pre_tokenizer: Split",
            id="inside",
        ),
        pytest.param({"pre_tokenizer": {"type": "Sequence", "pretokenizers": 7}}, "pre_tokenizer: None", id="a number"),
        pytest.param({"pre_tokenizer": {"type": "Metaspace"}}, "pre_tokenizer: Metaspace", id="another kind"),
        pytest.param(
            {"normalizer": {"type": "Replace", "pattern": {"String": "a"}, "content": "b" * 10_000}},
            "normalizer",
            id="text that grows",
        ),
        pytest.param({"model": {"type": "Unigram", "vocab": []}}, "model: ", id="another model"),
        pytest.param({"model": 7}, "model: ", id="no model"),
        pytest.param({"added_tokens": [{"id": "x"}]}, "not a tokenizer", id="no token"),
    ],
)
def test_a_tokenizer_that_could_take_for_ever_is_refused_by_part(
    folder: Path, changes: dict[str, Any], words: str
) -> None:
    edit(folder / "tokenizer" / "tokenizer.json", **changes)
    with pytest.raises(ValueError, match=rf"tokenizer\.json: {words}"):
        open_checkpoint(str(folder))


def test_a_tokenizer_cannot_ask_for_padding_without_end(folder: Path) -> None:
    padding = {"strategy": {"Fixed": 1 << 40}, "direction": "Right", "pad_to_multiple_of": None}
    padding |= {"pad_id": 0, "pad_type_id": 0, "pad_token": "a"}
    edit(folder / "tokenizer" / "tokenizer.json", padding=padding)
    before = open_checkpoint(str(PUBLISHED)).tokenizer.encode("what is it?")
    assert open_checkpoint(str(folder)).tokenizer.encode("what is it?") == before


def test_a_vocabulary_larger_than_the_decoders_is_refused(folder: Path) -> None:
    path = folder / "tokenizer" / "tokenizer.json"
    raw = json.loads(path.read_text())
    raw["model"]["vocab"]["giant"] = 4_000_000_000
    path.write_text(json.dumps(raw))
    with pytest.raises(CheckpointError, match="tokenizer: token 4000000000 is beyond the"):
        open_checkpoint(str(folder))


@pytest.mark.parametrize("eos", [None, 7, [], {"content": 7}, "no such token", "\x1b[31m" * 1000])
def test_an_end_token_of_any_kind_is_refused_by_name(folder: Path, eos: Any) -> None:
    edit(folder / "tokenizer" / "tokenizer_config.json", eos_token=eos)
    with pytest.raises(ValueError, match=r"tokenizer_config\.json: eos_token") as refused:
        open_checkpoint(str(folder))
    assert str(refused.value).isprintable()


def leave_out(text: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"String": text}, "behavior": "Removed", "invert": False}


@pytest.mark.parametrize(
    ("part", "changes", "words"),
    [
        pytest.param("model", {"dropout": 0.1}, r"tokenizer\.json: dropout", id="other tokens each time"),
        pytest.param("model", {"end_of_word_suffix": "</w>"}, "loses or changes text", id="ends of words"),
        pytest.param("pre_tokenizer", None, "loses or changes text", id="no bytes"),
        pytest.param("pre_tokenizer", leave_out("e"), "loses or changes text", id="a letter left out"),
    ],
)
def test_a_tokenizer_that_changes_text_is_refused(
    folder: Path, part: str, changes: dict[str, Any] | None, words: str
) -> None:
    path = folder / "tokenizer" / "tokenizer.json"
    before = json.loads(path.read_text())[part]
    edit(path, **{part: changes and before | changes})
    with pytest.raises(ValueError, match=words):
        open_checkpoint(str(folder))


def test_a_tokenizer_that_lacks_a_letter_is_refused(folder: Path) -> None:
    path = folder / "tokenizer" / "tokenizer.json"
    model = json.loads(path.read_text())["model"]
    vocab = {token: place for token, place in model["vocab"].items() if token != "~"}
    merges = [each for each in model["merges"] if "~" not in "".join(each)]
    edit(path, model=model | {"vocab": vocab, "merges": merges})
    with pytest.raises(ValueError, match="loses or changes text"):
        open_checkpoint(str(folder))
