"""Examples of answers, one for each kind, and of a whole stream.

Built from the models that the routes answer with, so they have every field and no other. The values are what a server
with pheye-tiny gave for the image of the examples on 2 cores of an AMD EPYC, some lists cut. Pure data; made at import.
"""

from __future__ import annotations

from typing import Any

from service.api.encoding import StreamItem
from service.schemas.estimate import CacheSaving, Estimate, EstimatedBytes, EstimatedFlops, EstimatedSeconds
from service.schemas.responses import (
    CaptionAnswer,
    ImageCard,
    ImageFields,
    ImageList,
    StreamChunk,
    StreamEnd,
    TimingFields,
    UsageFields,
    VqaAnswer,
)
from service.schemas.service_card import Alive, LimitFields, ModelFields, ReadyCard, SampleFields, ServiceCard

ID = "6c0e5f2b1d8f4a7c9e3b0a1d2c4f6e80"
MODEL = "pheye-tiny"
IMAGE = ImageFields(format="PNG", width=64, height=64, frames=1, has_transparency=False)
_USAGE = UsageFields(
    prompt_tokens=49,
    completion_tokens=8,
    image_tokens=1450,
    image_tiles=10,
    image_tiles_cached=4,
    image_features_cached=False,
)
_TIMINGS = TimingFields(
    queue=0.002547,
    preprocess=0.020496,
    encode=0.064847,
    prefill=0.053754,
    decode=0.053047,
    total=0.21368,
)
_ANSWERED: dict[str, Any] = {
    "id": ID,
    "model": MODEL,
    "finish_reason": "stop",
    "image": IMAGE,
    "warnings": [],
    "timings": _TIMINGS,
}
CAPTION = CaptionAnswer(caption="A red circle on the left.", confidence=-0.02023, usage=_USAGE, **_ANSWERED)
VQA = VqaAnswer(
    answer="It is a red circle.",
    confidence=-0.000566,
    usage=_USAGE.model_copy(update={"prompt_tokens": 51}),
    **_ANSWERED,
)
_END = StreamEnd(completed=True, confidence=-0.02023, usage=_USAGE, **_ANSWERED)
STREAM: tuple[StreamItem, ...] = (StreamChunk(chunk="A red circle"), StreamChunk(chunk=" on the left."), _END)
CARD = ImageCard(
    id="img_fbc25c38da5e7e3636f6bacd9cf95b12cba2636c7770a8dccf2d49aca3acb516",
    width_px=64,
    height_px=64,
    image_tiles=10,
    image_tokens=1450,
    held_bytes=276480,
    expires_in_s=3600.0,
    features_resident=False,
    image=IMAGE,
    warnings=[],
)
CARDS = ImageList(images=[CARD])
ESTIMATE = Estimate(
    model=MODEL,
    image_tiles=10,
    image_tokens=1450,
    prompt_tokens=49,
    max_completion_tokens=256,
    image_tiles_cached=10,
    features_resident=True,
    flops=EstimatedFlops(encode=0, prefill=1_113_965_568, decode=2_991_651_840, total=4_105_617_408),
    bytes=EstimatedBytes(slot=15_476_736, features=742_400),
    seconds=EstimatedSeconds(queue=0.0, encode=0.0, prefill=0.034874, decode=1.175755, total=1.210629, unknown=None),
    cache_saves=CacheSaving(flops=2_782_023_680, seconds=0.108078),
    image=IMAGE,
    warnings=[],
)
ALIVE = Alive(status="alive")
READY = ReadyCard(
    status="ready",
    model=MODEL,
    device="cpu",
    dtype="float32",
    parameters=4_775_040,
    slots=8,
    context_tokens=1024,
    image_tiles=10,
    image_tokens=1450,
)
SERVICE = ServiceCard(
    name="pheye",
    version="0.2.0",
    model=ModelFields(
        name=MODEL,
        knows="drawn scenes with coloured shapes and short signs, not photographs",
        outside_answer="I see no shape or sign that I know.",
        questions=["What does the sign say?", "How many shapes are there?"],
        samples=[SampleFields(title="A drawn scene", file="scene.png", questions=["What does the sign say?"])],
    ),
    limits=LimitFields(
        questions=16,
        body_bytes=20_971_520,
        pixels=50_000_000,
        formats=["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"],
        image_urls=False,
        deadline_s=300.0,
    ),
    links={"caption": "/v1/caption", "vqa": "/v1/vqa", "chat_completions": "/v1/chat/completions"},
)
METRICS = """# HELP pheye_requests_total HTTP requests answered, by route and status; 499: the client hung up first.
# TYPE pheye_requests_total counter
pheye_requests_total{endpoint="/v1/caption",status="200"} 12.0
"""
