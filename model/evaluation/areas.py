"""Size of what an answer tells of in the image: the relative size S = A_bb / A_total of section 3.3 of the paper.

Of everything that is known to be in the image, the region is taken whose text is most like the answers: the mean ratio
of difflib's matcher, which goes by the longest contiguous matching blocks, over all answers. Regions are words found by
OCR (TextVQA, TextCaps) or segmented objects (VQAv2). Any thread or process.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from pathlib import Path

from model.data.fields import DataError, Record, read_object


@dataclass(frozen=True, slots=True)
class Region:
    """Part of an image: what it shows or says, and its share of the image's area."""

    text: str
    area: float


Regions = Mapping[str, Sequence[Region]]  # by the image's identifier


def covered_area(regions: Regions | None, image: str, texts: Sequence[str]) -> float | None:
    """Compute the share of an image covered by the region that the texts most likely speak of; None if unknown.

    Of equally likely regions the largest is taken, since the paper leaves it open.

    Args:
        regions: of all images; None if there are none at all.
        image: the image's identifier.
        texts: the answers, or what stands for them.
    """
    known = regions.get(image, ()) if regions is not None else ()
    if not known or not texts:
        return None
    return max(known, key=lambda region: (_likeness(region.text, texts), region.area)).area


def _likeness(text: str, others: Sequence[str]) -> float:
    return sum(_ratio(text.lower(), other.lower()) for other in others) / len(others)


@lru_cache(maxsize=1 << 16)  # ten people mostly say the same
def _ratio(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other, autojunk=False).ratio()


def read_ocr(file: Path) -> Regions:
    """Read words and their boxes from `TextVQA_Rosetta_OCR_v0.2_val.json`; TextCaps has the same images.

    Raises:
        DataError, OSError: the file is not what it should be.
    """
    return {
        image.text("image_id"): [_word(each) for each in image.records("ocr_info")]
        for image in read_object(file).records("data")
    }


def _word(record: Record) -> Region:
    box = record.record("bounding_box")  # in shares of the image's sides
    return Region(record.text("word"), _checked(box, box.number("width") * box.number("height")))


def read_instances(file: Path) -> Regions:
    """Read objects and their segmented areas from COCO's `instances_val2014.json`; keys are image numbers as text.

    Raises:
        DataError, OSError: the file is not what it should be.
    """
    record = read_object(file)
    names = {each.whole("id"): each.text("name") for each in record.records("categories")}
    pixels = {each.whole("id"): each.number("width") * each.number("height") for each in record.records("images")}
    found: defaultdict[str, list[Region]] = defaultdict(list)
    for each in record.records("annotations"):
        image, category = each.whole("image_id"), each.whole("category_id")
        if image not in pixels or category not in names:
            raise DataError(f"{each.where}: image {image} or category {category} is not in the file")
        found[str(image)].append(Region(names[category], _checked(each, each.number("area") / max(pixels[image], 1))))
    return found


def _checked(record: Record, area: float) -> float:
    if area <= 0:
        raise DataError(f"{record.where}: its area is {area:g}; expected a share of the image, above 0")
    return min(area, 1.0)
