"""Descriptions of the service itself, field by field: what it is, how much it takes, whether it is alive and ready.

Knows no HTTP and no answer. Pure; safe from any thread.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class LimitFields(BaseModel):
    """Limits of one request."""

    questions: int = Field(description="Questions about one image.")
    body_bytes: int = Field(description="Bytes of the whole body.")
    pixels: int = Field(description="Pixels of the image, width x height.")
    formats: list[str] = Field(description="Formats of image files that are read, as answers name them in `image`.")
    image_urls: bool = Field(description="Some hosts' images are fetched by URL; which, is not told.")
    deadline_s: float = Field(description="Seconds after which it gets 504.")


class SampleFields(BaseModel):
    """A picture that the served model answers rightly."""

    title: str = Field(description="What it is called.")
    file: str = Field(description="Its file's name in the checkpoint; the playground has samples of that name.")
    questions: list[str] = Field(description="Questions about it that are answered rightly.")


class ModelFields(BaseModel):
    """The served model, and what its checkpoint says of it."""

    name: str = Field(description="Its name.")
    knows: str | None = Field(description="The pictures it was made for, in a few words; null if it does not say.")
    outside_answer: str | None = Field(
        description="What it answers about any other picture, with the warning `outside_known_world`; null if nothing."
    )
    questions: list[str] = Field(description="Questions that suit it, as suggestions.")
    samples: list[SampleFields] = Field(
        default_factory=list, description="Pictures that it answers rightly, as its checkpoint says."
    )

    def __str__(self) -> str:
        return self.name


class ServiceCard(BaseModel):
    """A description of this service."""

    name: Literal["pheye"] = Field(description="Which software this is.")
    version: str = Field(description="Version of the service.")
    model: ModelFields | None = Field(description="The served model; null while it loads.")
    limits: LimitFields = Field(description="How much one request may ask for.")
    links: dict[str, str] = Field(description="Paths of the main routes, by name.")


class Alive(BaseModel):
    """The process answers: liveness."""

    status: Literal["alive"] = Field(description="Always `alive`.")


class ReadyCard(BaseModel):
    """The service accepts new requests: readiness, with the model and devices that answer them."""

    status: Literal["ready"] = Field(description="Always `ready`; anything else is a 503.")
    model: str = Field(description="Name of the served model.")
    device: str = Field(description="Where it runs: `cpu`, `cuda:0`, ...")
    dtype: str = Field(description="Number format it computes in.")
    parameters: int = Field(description="Parameters of the model.")
    slots: int = Field(description="Answers one worker generates at the same time.")
    context_tokens: int = Field(description="Tokens of prompt and answer together.")
    image_tiles: int = Field(description="Tiles an image is cut into, global view included.")
    image_tokens: int = Field(description="Vision tokens of an image.")
