"""Scenarios of input that nobody would write: random edits of image files, and random requests."""

from __future__ import annotations

from tests.chaos.scenario import Scale, Scenario, demand
from tests.support.fuzzed_requests import fuzz
from tests.support.fuzzing import fuzz_images

IMAGES = 40_000
MINUTES = 10.0
FAILURES = ("crash", "timeout", "memory", "killed")


def images(scale: Scale) -> str:
    """Decode edited image files of every format."""
    outcomes = fuzz_images(scale.times(IMAGES), seed=29)
    failures = {kind: outcomes[kind] for kind in FAILURES if outcomes[kind]}
    demand(not failures, f"decoders ended by {failures}")
    return f"{outcomes.total()} files, {outcomes['image']} of them still images; no decoder crashed, hung or was killed"


def requests(scale: Scale) -> str:
    """Send random bodies, fields, headers and paths to the whole application."""
    return f"{fuzz(minutes=scale.seconds(60 * MINUTES) / 60)} requests, none answered with a 500"


SCENARIOS = (
    Scenario(
        "fuzzed-images",
        "No image file crashes or hangs a decoder, or is answered with a 500",
        f"{IMAGES:,} randomly edited files of every format",
        images,
    ),
    Scenario(
        "fuzzed-requests",
        "No request is answered with a 500",
        f"{MINUTES:g} minutes of random bodies, fields, headers and paths, with and without keys",
        requests,
    ),
)
