"""Mix of requests: captions and questions, about new images and known ones, drawn from a seed.

Request number n of a seed depends on nothing but the two, so that every server of a run is asked the same and a run
can be repeated. Knows no HTTP and no time. Pure.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field

from loadtest.images import Form, picture

QUESTIONS = (
    "What is in the image?",
    "What does the sign say?",
    "How many shapes are there?",
    "What colour is the largest shape?",
    "Is there a red circle?",
    "What is at the top of the image?",
    "What is left of the sign?",
    "Is the picture bright or dark?",
)


@dataclass(frozen=True, slots=True)
class Mix:
    """Kinds of requests, and the share of each.

    Attributes:
        captions: share of the requests that ask for a caption; the others ask questions.
        questions: most questions of one request; 1 to so many are drawn.
        hits: share of the requests about an image that was asked about before; all others bring one of their own, which
            a server has never seen unless it was asked with the same seed before.
        hot_images: how many images these repeat.
        stream: whether answers are streamed.
        max_tokens: of each answer.
        form: of the image files.
        width_px: of the images.
        height_px: of the images.
    """

    captions: float = 0.5
    questions: int = 1
    hits: float = 0.0
    hot_images: int = 8
    stream: bool = False
    max_tokens: int = 32
    form: Form = "JPEG"
    width_px: int = 640
    height_px: int = 480


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """Planned request: a caption if there are no questions."""

    image: bytes = field(repr=False)
    questions: tuple[str, ...]
    stream: bool
    max_tokens: int

    @property
    def path(self) -> str:
        """Route that answers the request."""
        return "/v1/vqa" if self.questions else "/v1/caption"

    @property
    def answers(self) -> int:
        """Number of answers in the response."""
        return max(1, len(self.questions))

    def form(self) -> dict[str, str | list[str]]:
        """Form fields of the request, the image left out."""
        fields: dict[str, str | list[str]] = {"settings": json.dumps({"max_tokens": self.max_tokens})}
        if self.stream:
            fields["stream"] = "true"
        if len(self.questions) == 1:
            fields["question"] = self.questions[0]
        elif self.questions:
            fields["questions"] = list(self.questions)
        return fields


def asks(mix: Mix, seed: str, count: int) -> list[PlannedRequest]:
    """Draw the first requests of a seed."""
    return [_ask(mix, seed, number) for number in range(count)]


def warm_up_asks(mix: Mix, seed: str, count: int) -> list[PlannedRequest]:
    """Draw the requests before a load: each image that it will repeat once, and so many new ones.

    Without the former a load's first requests about them would be no hits.
    """
    hot = range(mix.hot_images) if mix.hits else ()
    known = [PlannedRequest(_hot_image(mix, seed, index), QUESTIONS[:1], mix.stream, mix.max_tokens) for index in hot]
    return known + asks(mix, f"{seed} warm-up", count)


def _ask(mix: Mix, seed: str, number: int) -> PlannedRequest:
    chance = random.Random(f"{seed} {number}")  # noqa: S311 - no secrets here
    is_caption, is_hit = chance.random() < mix.captions, chance.random() < mix.hits
    questions = () if is_caption else tuple(chance.choices(QUESTIONS, k=chance.randint(1, mix.questions)))
    index = chance.randrange(mix.hot_images)
    image = _hot_image(mix, seed, index) if is_hit else _image(mix, f"{seed} image {number}")
    return PlannedRequest(image, questions, mix.stream, mix.max_tokens)


def _hot_image(mix: Mix, seed: str, index: int) -> bytes:
    return _image(mix, f"{seed} hot {index}")


def _image(mix: Mix, name: str) -> bytes:
    return picture(name, mix.form, mix.width_px, mix.height_px)
