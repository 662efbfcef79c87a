"""Training data by name, and what is held out of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.data.manifest import ManifestError
from model.data.samples import Sample, Turn
from model.training.planning import data as data_module
from model.training.planning.data import Rehearsal, read_data
from tests.support.small_model import picture, small_tokenizer, write_pictures


@pytest.mark.parametrize(
    ("count", "validation", "held"),
    [(20, None, 5), (9, None, 0), (20, "0", 0), (20, "10%", 2), (20, "0.3", 6), (20, "other.jsonl", 1)],
    ids=["default", "too few", "none", "per cent", "share", "file"],
)
def test_images_are_held_out_as_asked(
    count: int, validation: str | None, held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = write_pictures(tmp_path / "own", count=count)
    monkeypatch.chdir(tmp_path)
    picture(3).transpose(0).resize((50, 50)).save("other.png")
    Path("other.jsonl").write_text('{"image": "other.png", "instruction": "What?", "response": "white"}\n')
    data = read_data((manifest,), validation)
    assert (0 if data.validation is None else len(data.validation)) == held
    assert data.images == (count if validation == "other.jsonl" else count - held)


@pytest.mark.parametrize(
    ("validation", "complaint"),
    [
        ("1.5", "1.5 is not a share"),
        ("-1", "-1 is not a share"),
        ("nan", "nan is not a share"),
        ("lost", "no such file"),
    ],
    ids=["more", "less", "nan", "lost"],
)
def test_what_is_neither_a_share_nor_a_file_is_refused(validation: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=complaint):
        read_data((write_pictures(tmp_path),), validation)


def test_a_stream_has_no_share_to_hold_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(data_module.STREAMS, "signs", _Stream)
    assert read_data((Path("signs"),)).validation is None
    with pytest.raises(ManifestError, match="a stream has no end"):
        read_data((Path("signs"),), "10%")


def test_a_turn_that_does_not_fit_the_model_is_named_before_training(tmp_path: Path) -> None:
    manifest = write_pictures(tmp_path, count=1)
    read_data((manifest,)).check_lengths(small_tokenizer(), 128)
    manifest.write_text(manifest.read_text().replace("red tl", "red " * 99))
    with pytest.raises(
        ManifestError, match=r"images/0.png: \d+ tokens of instruction and response; the model reads 128"
    ):
        read_data((manifest,)).check_lengths(small_tokenizer(), 128)


class _Stream:
    """Samples that are asked for a caption, and every third also for a colour."""

    def __len__(self) -> int:
        return 1 << 40

    def __getitem__(self, index: int) -> Sample:
        colour = (Turn("Which colour?", "red"),) if index % 3 == 0 else ()
        return Sample(picture(0), (Turn("Describe", f"scene {index}"), *colour))


def test_what_own_data_answer_in_their_own_way_is_not_rehearsed() -> None:
    rehearsal = Rehearsal(_Stream(), frozenset(["Describe"]))
    assert [rehearsal[index].turns for index in range(5)] == [(Turn("Which colour?", "red"),)] * 5
