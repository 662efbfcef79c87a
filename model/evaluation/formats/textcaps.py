"""TextCaps reader: one entry a caption, each with all captions of its image; images as in TextVQA.

Any thread or process.
"""

from __future__ import annotations

from pathlib import Path

from model.data.fields import DataError, Record, read_object
from model.data.formats.textvqa import image_name
from model.evaluation.areas import Regions, covered_area
from model.evaluation.case import Case
from model.prompt import CaptionStyle, caption_instruction


def read_textcaps(
    data: Path, images: Path, style: CaptionStyle = "plain", regions: Regions | None = None
) -> list[Case]:
    """Read the cases of a split, one an image, in its order.

    Args:
        data: `TextCaps_0.1_val.json` or another split's.
        images: the folder with `003a8ae2ef43b901.jpg` and so on.
        style: `plain` is the prompt in the caption of the paper's Table 1, `scene_text` the one trained on (Table 3).
        regions: which words are where in each image, to tell the area of what captions speak of (appendix C).

    Raises:
        DataError, OSError: the file is not what it should be.
    """
    cases: dict[str, Case] = {}
    for record in read_object(data).records("data"):
        case = _case(record, images, style, regions)
        known = cases.setdefault(case.id, case)
        if known.references != case.references:
            raise DataError(f"{record.where}: reference_strs: not those of the same image before")
    return list(cases.values())


def _case(record: Record, images: Path, style: CaptionStyle, regions: Regions | None) -> Case:
    image = record.text("image_id")
    said = record.texts("reference_strs") if record.has("reference_strs") else ()
    return Case(
        id=image,
        image_path=images / image_name(record),
        instruction=caption_instruction("short", style),
        references=said,
        kind="cider",
        area=covered_area(regions, image, said),
    )
