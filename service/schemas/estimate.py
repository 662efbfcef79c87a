"""Response body of an estimate, field by field: what a request would cost. Pure; safe from any thread."""

from __future__ import annotations

from pydantic import BaseModel, Field

from service.schemas.responses import ImageFields, Seconds, Warnings


class EstimatedFlops(BaseModel):
    """The floating-point operations of the model's matrix products, two for each multiply-add."""

    encode: int = Field(description="Encoding the image; 0 if its features are resident.")
    prefill: int = Field(description="Reading the prompts, the image's keys and values included.")
    decode: int = Field(description="Generating as many tokens as allowed.")
    total: int = Field(description="Their sum.")


class EstimatedBytes(BaseModel):
    """The memory needed on the device; slots and cache are bounded and allocated whatever is asked."""

    slot: int = Field(description="One answer and its image while it runs: keys and values.")
    features: int = Field(description="The image in the feature cache.")


class EstimatedSeconds(BaseModel):
    """The time on this server at its recent speed, without decoding and tiling the image. null: not measured yet."""

    queue: Seconds | None = Field(description="Waiting for a slot, as it looks now.")
    encode: Seconds | None = Field(description="In the vision encoder; 0 if the features are resident.")
    prefill: Seconds | None = Field(description="Reading the prompts.")
    decode: Seconds | None = Field(description="Generating as many tokens as allowed.")
    total: Seconds | None = Field(description="Their sum, at most: an answer may end before its last allowed token.")
    unknown: str | None = Field(description="Why some are null.")


class CacheSaving(BaseModel):
    """The savings of cached image features, whether they are in the cache now or not."""

    flops: int = Field(description="Floating-point operations of the vision encoder.")
    seconds: Seconds | None = Field(description="null: no tile was encoded yet.")


class Estimate(BaseModel):
    """The cost of a request, had it been sent now."""

    model: str = Field(description="Name of the model that would answer.")
    image_tiles: int = Field(description="Tiles the image is cut into.")
    image_tokens: int = Field(description="Vision tokens of the image.")
    prompt_tokens: int = Field(description="Tokens of the prompts, exactly, image not included.")
    max_completion_tokens: int = Field(description="Most tokens generated, all answers together.")
    image_tiles_cached: int | None = Field(
        description="Tiles that would not have to be encoded: they equal tiles of this or an earlier image; "
        "null without an image."
    )
    features_resident: bool | None = Field(description="Whether the image's features are here; null without an image.")
    flops: EstimatedFlops
    bytes: EstimatedBytes
    seconds: EstimatedSeconds
    cache_saves: CacheSaving
    image: ImageFields | None = Field(description="What the image's file is; null without an image.")
    warnings: Warnings
