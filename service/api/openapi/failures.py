"""Documentation of failures: what each status means on a route, its kinds, and an example as a client would see it.

The one place for the words that routes share. Built from the error tree of `service.errors`. Pure; runs at import.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from service.api.image_folder.access import SLOW
from service.api.image_store import NOT_THERE, OFF
from service.api.openapi.headers import header_docs
from service.api.problems import MEDIA_TYPE, problem_type
from service.errors import (
    BadRequest,
    DeadlineExceeded,
    FetchFailed,
    HeadTooLarge,
    ImagesUnreachable,
    InvalidField,
    NotFound,
    NotOffered,
    Poisoned,
    RateLimited,
    RowFailed,
    ServiceError,
    TooLarge,
    TooManyConcurrent,
    Unauthorized,
    Unavailable,
    UnsupportedBody,
    UnsupportedCoding,
    UnsupportedImage,
    UnsupportedParameter,
    UploadsFull,
    UploadStalled,
    WaitingRoomFull,
)
from service.schemas.responses import Problem

INSTANCE = "/requests/6c0e5f2b1d8f4a7c9e3b0a1d2c4f6e80"
PROBLEM = {"$ref": f"#/components/schemas/{Problem.__name__}"}


@dataclass(frozen=True, slots=True)
class Failure:
    """An error status as it is documented.

    Attributes:
        words: what it means on a route, and what to do.
        detail: of the example.
        kinds: the failures that have this status there, the example's first; `ServiceError` is an unexpected one.
    """

    words: str
    detail: str
    kinds: tuple[type[ServiceError], ...]

    def example(self) -> Problem:
        """Build the example of the error as a client sees it."""
        kind = self.kinds[0]
        unexpected = kind is ServiceError
        return Problem(
            type="about:blank" if unexpected else problem_type(kind),
            title=HTTPStatus(kind.status).phrase if unexpected else kind.title,
            status=kind.status,
            detail=self.detail,
            instance=INSTANCE,
        )

    def types(self) -> str:
        """Name what the field `type` may say, as Markdown."""
        return ", ".join("`about:blank`" if each is ServiceError else f"`{problem_type(each)}`" for each in self.kinds)


_OVER_LIMIT = (RateLimited, TooManyConcurrent, UploadsFull)
CRASHED = Failure(
    "Something unexpected went wrong on the service's side; its log tells what, under the request id.",
    "something went wrong on our side; the log has it under this request id",
    (ServiceError,),
)
LOADING = Failure(
    "The model is loading. Try again after `Retry-After` seconds.",
    "the model is loading",
    (Unavailable,),
)
ERRORS: dict[int, Failure] = {
    400: Failure(
        "The body is not what its content type says, or the text in `image_url` is no image, id or URL.",
        "body: not valid JSON",
        (BadRequest,),
    ),
    401: Failure(
        "The API key is missing or wrong.",
        "send a valid key as Authorization: Bearer KEY or as X-Moondream-Auth: KEY",
        (Unauthorized,),
    ),
    404: Failure("No image of yours has the id given as `image_url`. Upload it again.", NOT_THERE, (NotFound,)),
    408: Failure("The body stopped arriving, or came too slowly.", "body: not complete after 60 s", (UploadStalled,)),
    413: Failure(
        "The body has too many bytes, or the image too many pixels; `GET /v1` tells the limits.",
        "body: more than the 20971520 bytes allowed; send a smaller image",
        (TooLarge,),
    ),
    415: Failure(
        "The file is no image of a format that is read here, or the body has another content type, or is compressed.",
        "image: not of a format that is read here; send JPEG, PNG, WEBP, AVIF, GIF, BMP or TIFF",
        (UnsupportedImage, UnsupportedBody, UnsupportedCoding),
    ),
    422: Failure(
        "A field is unknown or out of range, or the image is missing, unreadable or could not be fetched.",
        "settings.top_p: must be at most 1",
        (InvalidField, UnsupportedParameter, FetchFailed),
    ),
    429: Failure(
        "Too many requests wait, or this client is over a limit of its own. Try again after `Retry-After` seconds.",
        "64 of 64 places are taken, 3 by your requests; try again in about 2 s",
        (WaitingRoomFull, *_OVER_LIMIT),
    ),
    431: Failure(
        "The query and the headers are longer than 16 KiB together. Send fields in the body.",
        "HTTP: request line and headers have more than 16384 bytes",
        (HeadTooLarge,),
    ),
    500: Failure(
        "The request failed in the model, or something unexpected went wrong. Trying again rarely helps.",
        "the model could not finish this answer",
        (RowFailed, Poisoned, ServiceError),
    ),
    503: Failure(
        "The model is loading, the service is shutting down, no worker is alive, or the folder of uploaded images "
        "fails. Try again after `Retry-After` seconds.",
        "the model is loading",
        (Unavailable, ImagesUnreachable),
    ),
    504: Failure(
        "The answer was not complete in the time that a request may take; `GET /v1` tells it.",
        "no complete answer within 300 s",
        (DeadlineExceeded,),
    ),
}
UPLOADS = ERRORS | {
    404: Failure(
        "Uploads are switched off here, or the store has no room for an image of this size; or `image_url` names an id "
        "that no image of yours has.",
        OFF,
        (NotFound,),
    ),
    500: CRASHED,
}
ESTIMATES = ERRORS | {500: CRASHED}
OF_IDS = ERRORS | {
    404: Failure(
        "No image of yours has this id: it has expired, made room for others, or was never there.",
        NOT_THERE,
        (NotFound,),
    ),
    503: Failure(
        "The folder of uploaded images fails, or there is one and the model is still loading. Try again after "
        "`Retry-After` seconds.",
        SLOW,
        (ImagesUnreachable, Unavailable),
    ),
}
OF_MODELS = ERRORS | {503: LOADING}
READINESS = {
    503: Failure(
        "The model is loading, no worker is alive or makes progress, or the service is shutting down. Try again after "
        "`Retry-After` seconds.",
        LOADING.detail,
        (Unavailable,),
    )
}
REFUSED = ERRORS | {
    404: Failure(
        "The only answer there is. It names the routes that Pheye offers instead.",
        "detect: not offered; Pheye answers in words, with captions (/v1/caption) and answers to questions "
        "(/v1/query), and gives no boxes, points or masks",
        (NotOffered,),
    ),
    413: Failure("The body says that it has too many bytes.", ERRORS[413].detail, (TooLarge,)),
    415: Failure(
        "The body is compressed.",
        "content-encoding: gzip is not taken; send the body as it is, without compression",
        (UnsupportedCoding,),
    ),
    429: Failure(
        "This client is over a limit of its own. Try again after `Retry-After` seconds.",
        "your limit is 10 per 1 minute; try again in 6 s",
        _OVER_LIMIT,
    ),
}
EVERYWHERE = {431: ERRORS[431], 500: CRASHED}  # what any route may answer


def problem_docs(*statuses: int, failures: Mapping[int, Failure] = ERRORS) -> dict[int | str, dict[str, Any]]:
    """Document the failures with these statuses, and those of any route; without statuses, every one of `failures`."""
    chosen = {status: failures[status] for status in statuses} | EVERYWHERE if statuses else failures
    return {
        status: {
            "description": f"{failure.words} `type`: {failure.types()}.",
            "content": {MEDIA_TYPE: {"schema": PROBLEM, "example": failure.example().model_dump()}},
            **header_docs(*failure_headers(status)),
        }
        for status, failure in sorted(chosen.items())
    }


def failure_headers(status: int) -> list[str]:
    """Name the headers that come with a failure."""
    return {401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}.get(status, [])
