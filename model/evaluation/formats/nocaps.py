"""NoCaps reader: captions in COCO's layout, images of three domains. Any thread or process."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from model.data.fields import DataError, read_object
from model.evaluation.case import Case
from model.prompt import caption_instruction

DOMAINS = ("in-domain", "near-domain", "out-domain")


def read_nocaps(captions: Path, images: Path) -> list[Case]:
    """Read the cases of a split, one an image, grouped by domain; the score over all of them is the paper's "entire".

    Args:
        captions: `nocaps_val_4500_captions.json`, or the test split's file, which has no annotations.
        images: the folder with `0013ea2087020901.jpg` and so on.

    Raises:
        DataError, OSError: the file is not what it should be.
    """
    record = read_object(captions)
    said: defaultdict[int, list[str]] = defaultdict(list)
    for each in record.records("annotations") if record.has("annotations") else ():
        said[each.whole("image_id")].append(each.text("caption"))
    cases = []
    for image in record.records("images"):
        number = image.whole("id")
        domain = image.text("domain") if image.has("domain") else ""
        if domain and domain not in DOMAINS:
            raise DataError(f"{image.where}: domain: {domain!r} is not one of {', '.join(DOMAINS)}")
        if said and number not in said:
            raise DataError(f"{image.where}: id: image {number} has no annotations")
        path, instruction = images / image.text("file_name"), caption_instruction("short")
        cases.append(Case(str(number), path, instruction, tuple(said.get(number, ())), "cider", domain))
    return cases
