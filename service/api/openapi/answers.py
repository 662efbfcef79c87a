"""Examples of answers, one for each kind, and of a whole stream.

Made of the models that the routes answer with, so they have every field and no other. Pure data; made at import.
"""

from __future__ import annotations

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
USAGE = UsageFields(
    prompt_tokens=62,
    completion_tokens=4,
    image_tokens=1450,
    image_tiles=10,
    image_tiles_cached=6,
    image_features_cached=False,
)
TIMINGS = TimingFields(queue=0.001, preprocess=0.004, encode=0.11, prefill=0.05, decode=0.03, total=0.2)
CAPTION = CaptionAnswer(
    id=ID,
    model=MODEL,
    caption="A red disc.",
    finish_reason="stop",
    confidence=-0.021,
    image=IMAGE,
    warnings=[],
    usage=USAGE,
    timings=TIMINGS,
)
VQA = VqaAnswer(
    id=ID,
    model=MODEL,
    answer="A disc.",
    finish_reason="stop",
    confidence=-0.021,
    image=IMAGE,
    warnings=[],
    usage=USAGE,
    timings=TIMINGS,
)
_END = StreamEnd(
    completed=True,
    id=ID,
    model=MODEL,
    finish_reason="stop",
    confidence=-0.021,
    image=IMAGE,
    warnings=[],
    usage=USAGE,
    timings=TIMINGS,
)
STREAM: tuple[StreamItem, ...] = (StreamChunk(chunk="A red"), StreamChunk(chunk=" disc."), _END)
CARD = ImageCard(
    id="img_3f0a9c5d2e7b41688c0d1e2f3a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d",
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
    prompt_tokens=62,
    max_completion_tokens=256,
    image_tiles_cached=6,
    features_resident=False,
    flops=EstimatedFlops(encode=9_000_000_000, prefill=2_000_000_000, decode=8_000_000_000, total=19_000_000_000),
    bytes=EstimatedBytes(slot=4_194_304, features=1_113_600),
    seconds=EstimatedSeconds(queue=0.0, encode=0.11, prefill=0.05, decode=1.9, total=2.06, unknown=None),
    cache_saves=CacheSaving(flops=22_000_000_000, seconds=0.27),
    image=IMAGE,
    warnings=[],
)
ALIVE = Alive(status="alive")
READY = ReadyCard(
    status="ready",
    model=MODEL,
    device="cpu",
    dtype="float32",
    parameters=11_000_000,
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
        knows="drawn scenes of plain shapes",
        outside_answer="I do not know.",
        questions=["What shape is it?"],
        samples=[SampleFields(title="A red disc", file="disc.png", questions=["What shape is it?"])],
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
