"""Examples of requests about an image, sent from the documentation as they are.

Pure data; made at import.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from service.schemas.requests import CaptionRequest, EstimateRequest, ImageUpload, VqaRequest

# A red disc on light gray, 64 x 64 pixels: small enough to be read in an example, and one that works when pasted. It is
# of the size that pheye-tiny knows (tests/model/weights/test_samples.py).
DISC = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAEAAAABAAQMAAACQp+OdAAAABlBMVEXm5ub/AACPYlkmAAAAWElEQVR42t3QsRGAIB"
    "BE0c9hriVQiq1Yia1RCiUYGjCcwRIomZnjJrfzNjv4bfZ+g2cAw0iS2U9Jj7EwqSTpbVoJg7wqGR+k0FQO6mOC6EXSKAAR2D795AvEbA6wDf/Bwg"
    "AAAABJRU5ErkJggg=="
)
EXAMPLES: Mapping[type[BaseModel], Mapping[str, Any]] = {
    CaptionRequest: {
        "caption": {"summary": "A one-sentence caption", "value": {"image_url": DISC, "length": "short"}},
        "stream": {"summary": "A caption as a stream", "value": {"image_url": DISC, "stream": True}},
    },
    ImageUpload: {"upload": {"summary": "An image", "value": {"image_url": DISC}}},
    EstimateRequest: {
        "alone": {"summary": "A question about any image", "value": {"question": "What shape is it?"}},
        "short": {
            "summary": "A caption of an image, of 20 tokens at most",
            "value": {"image_url": DISC, "length": "short", "settings": {"max_tokens": 20}},
        },
    },
    VqaRequest: {
        "question": {"summary": "A question", "value": {"image_url": DISC, "question": "What shape is it?"}},
        "choice": {
            "summary": "Two questions with given answers",
            "value": {
                "image_url": DISC,
                "questions": ["What shape is it?", "Which shape is it not?"],
                "answer_style": "choice",
                "choices": ["a disc", "a square"],
            },
        },
        "texts": {
            "summary": "An answer that is one of these texts",
            "value": {
                "image_url": DISC,
                "question": "Which colour is it?",
                "answer_style": "short",
                "choices": ["red", "green", "dark green"],
            },
        },
        "sampled": {
            "summary": "A sampled answer that can be repeated",
            "value": {
                "image_url": DISC,
                "question": "How many shapes are there?",
                "settings": {"max_tokens": 40, "temperature": 0.7, "top_p": 0.9, "seed": 1, "stop": ["\n"]},
            },
        },
    },
}
