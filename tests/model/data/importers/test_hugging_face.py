"""Data sets of the package `datasets`: by a stand-in of its shape, and by itself where it is installed."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from model.data.importers.columns import ColumnNames
from model.data.importers.hugging_face import HuggingFaceSource, hugging_face_samples
from model.data.importers.importing import ImportRefused, write_import
from model.data.importers.table import TableOptions
from model.data.manifest import read_manifest
from tests.model.data.importers.test_public import Said, said

OPTIONS = TableOptions(ColumnNames(), "Tell me", "short")
SHORT = "\nAnswer the question using a single word or phrase"


def encoded(colour: str, kind: str = "PNG") -> dict[str, Any]:
    data = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(data, kind)
    return {"bytes": data.getvalue(), "path": None}


class ImageFeature:
    def __init__(self, decode: bool = True) -> None:
        self.decode = decode


class ClassLabel:
    """Classes of a column whose cells are numbers."""

    names = ("cat", "dog")


class Rows(list[dict[str, Any]]):
    """A data set of the package, as far as it is used here."""

    @property
    def features(self) -> dict[str, Any]:
        return {
            "picture": ImageFeature(),
            "caption": "list of texts",
            "question": "text",
            "answers": "texts",
            "label": ClassLabel(),
        }

    def cast_column(self, name: str, feature: ImageFeature) -> Rows:
        assert (name, feature.decode) == ("picture", False)
        return self


class Parts(dict[str, Rows]):
    pass


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("datasets")
    module.Image, module.DatasetDict, module.ClassLabel = ImageFeature, Parts, ClassLabel  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    return module


def imported(source: HuggingFaceSource, folder: Path) -> tuple[Said, list[str]]:
    report = write_import(hugging_face_samples(source, folder / "mine-images", OPTIONS), folder / "mine.jsonl")
    return said(read_manifest(folder / "mine.jsonl")), list(report.told())


def test_images_are_written_once_beside_the_manifest(package: Any, tmp_path: Path) -> None:
    red = encoded("red")
    rows = Rows(
        [
            {"picture": red, "caption": ["A red one.", "Red"]},
            {"picture": encoded("blue", "JPEG"), "caption": ["Blue"]},
            {"picture": red, "caption": ["Again"]},
            {"picture": {"bytes": b"torn", "path": None}, "caption": ["Torn"]},
            {"picture": None, "caption": ["None"]},
            {"picture": red, "caption": []},
        ]
    )
    asked = []
    package.load_dataset = lambda *words, **named: (asked.append((words, named)), rows)[1]
    found, told = imported(HuggingFaceSource("someone/something", "small", "test"), tmp_path)
    assert asked == [(("someone/something", "small"), {"split": "test", "streaming": True})]
    assert [response for _, _, response in found] == ["A red one.", "Red", "Again", "Blue"]
    assert sorted(path.suffix for path in (tmp_path / "mine-images").iterdir()) == [".jpg", ".png"]
    assert told == [
        "row with an image that cannot be read: someone/something test[3]",
        "row without an image: someone/something test[4]",
        "row with no text in caption: someone/something test[5]",
    ]


def test_a_saved_folder_has_parts_questions_and_conversations(package: Any, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "dataset_dict.json").write_text("{}")
    answers = [{"answer": "dog"}, {"answer": "cat"}, {"answer": "cat"}]
    talk = [{"from": "human", "value": "<image>\nWho?"}, {"from": "gpt", "value": "A cat."}]
    parts = Parts(
        train=Rows([{"picture": encoded("red"), "question": "Who?", "answers": answers}]),
        talk=Rows([{"picture": encoded("red"), "conversations": talk}]),
    )
    package.load_from_disk = {str(saved): parts}.__getitem__
    assert [line[1:] for line in imported(HuggingFaceSource(str(saved)), tmp_path)[0]] == [("Who?" + SHORT, "cat")]
    found, _ = imported(HuggingFaceSource(str(saved), split="talk"), tmp_path)
    assert [line[1:] for line in found] == [("Who?", "A cat.")]
    with pytest.raises(ImportRefused, match=r"--split: there is no test; there are \['train', 'talk'\]"):
        imported(HuggingFaceSource(str(saved), split="test"), tmp_path)


def test_classes_are_written_by_their_names(package: Any, tmp_path: Path) -> None:
    rows = Rows([{"picture": encoded("red"), "label": label} for label in (1, 0, -1, None, 2)])
    package.load_dataset = lambda *words, **named: rows
    found, told = imported(HuggingFaceSource("someone/pets"), tmp_path)
    assert [response for _, _, response in found] == ["dog", "cat"]
    assert told == [
        "3 x row with no text in label: " + ", ".join(f"someone/pets train[{place}]" for place in (2, 3, 4))
    ]


def test_what_the_package_cannot_open_is_told_in_a_line(
    package: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> Any:
        raise ConnectionError("no hub\nand much more")

    package.load_dataset = fails
    with pytest.raises(ImportRefused, match=r"^someone/x: cannot be opened as a data set: no hub$"):
        imported(HuggingFaceSource("someone/x"), tmp_path)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportRefused, match="the package datasets is not installed; pip install datasets"):
        imported(HuggingFaceSource("someone/x"), tmp_path)


class TornRows(Rows):
    """A data set whose second file turns out to be broken when it is reached."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield from super().__iter__()
        raise RuntimeError("An error occurred while generating the dataset\nand much more")


def test_a_file_that_is_broken_further_on_is_told_in_a_line(package: Any, tmp_path: Path) -> None:
    package.load_dataset = lambda *words, **named: TornRows([{"picture": encoded("red"), "caption": ["Red"]}])
    said = r"^someone/x train: cannot be read behind 1 rows: An error occurred while generating the dataset$"
    with pytest.raises(ImportRefused, match=said):
        imported(HuggingFaceSource("someone/x"), tmp_path)
    assert not (tmp_path / "mine.jsonl").exists()


@pytest.mark.skipif(find_spec("datasets") is None, reason="the package datasets is not installed")
@pytest.mark.filterwarnings("ignore")
def test_the_package_itself_agrees(tmp_path: Path) -> None:
    import datasets

    pets = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    labelled = datasets.Dataset.from_dict({"image": [encoded("red")], "label": [1]}, features=pets)
    labelled.save_to_disk(tmp_path / "pets")
    assert [line[1:] for line in imported(HuggingFaceSource(str(tmp_path / "pets")), tmp_path)[0]] == [
        ("Tell me", "dog")
    ]
    features = datasets.Features({"image": datasets.Image(), "caption": [datasets.Value("string")]})
    columns = {"image": [encoded("red"), encoded("blue")], "caption": [["Red", "Warm"], ["Blue"]]}
    rows = datasets.Dataset.from_dict(columns, features=features)
    datasets.DatasetDict({"train": rows}).save_to_disk(tmp_path / "saved")
    (tmp_path / "files").mkdir()
    rows.to_parquet(tmp_path / "files" / "train.parquet")
    for place in ("saved", "files"):
        found, _ = imported(HuggingFaceSource(str(tmp_path / place)), tmp_path)
        assert [line[1:] for line in found] == [("Tell me", "Red"), ("Tell me", "Warm"), ("Tell me", "Blue")]
