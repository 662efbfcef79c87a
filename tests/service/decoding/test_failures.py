"""Why an image was not decoded: who is to blame, and how often it is tried."""

from __future__ import annotations

import pytest

from service.decoding.failures import refusal_of
from service.errors import InvalidField, Unavailable


@pytest.mark.parametrize("failure", ["hung", "killed"])
def test_what_may_be_no_fault_of_the_image_is_tried_again(failure):
    assert refusal_of([failure], tries=2, timeout_s=1.0) is None


@pytest.mark.parametrize(
    ("failures", "kind", "words"),
    [
        (["timeout"], InvalidField, "image: could not be decoded within 1 s"),
        (["crash"], InvalidField, "image: could not be decoded; its decoder crashed"),
        (["killed", "killed"], InvalidField, "2 decoders were killed, one after the other"),
        (["killed", "crash"], InvalidField, "its decoder crashed"),
        (["hung", "timeout"], InvalidField, "could not be decoded within 1 s"),
        (["hung", "hung"], Unavailable, "an image decoder did not respond within 1 s"),
        (["hung", "killed"], Unavailable, "and others failed too"),
        (["killed", "hung"], Unavailable, "did not respond"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_the_sender_is_blamed_for_what_its_image_does_alone(failures, kind, words):
    refusal = refusal_of(failures, tries=2, timeout_s=1.0)
    assert type(refusal) is kind
    assert words in refusal.detail
