"""Errors that the service raises for a request: a status, a short title, and a detail that says what to do.

Knows no framework: `service/api/problems.py` turns these into `application/problem+json` (RFC 9457), and adds what the
framework itself refuses, such as an unknown path. The commands use them too. Safe from any thread.
"""

from __future__ import annotations

from typing import Literal, Self

FetchOutcome = Literal[
    "fetched", "refused", "unreachable", "failed", "no_image", "too_large", "timeout", "full", "cancelled"
]


class ServiceError(Exception):
    """A failure that the client is told about.

    Attributes:
        status: HTTP status.
        title: the same words for every failure of this class.
        detail: what happened this time and what to do about it; never holds image data.
        retry_after_s: seconds after which trying again makes sense, or None; a kind of failure that passes has its own.
    """

    status = 500
    title = "Internal error"
    retry_after_s: int | None = None

    def __init__(self, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s


class BadRequest(ServiceError):
    """The body is not what its content type says, or the text that should be an image is none."""

    status = 400
    title = "Malformed request"


class Unauthorized(ServiceError):
    """The API key is missing or wrong."""

    status = 401
    title = "API key missing or wrong"


class OriginRefused(ServiceError):
    """A page of another site, or a name that may have been rebound to this address, must not call the route."""

    status = 403
    title = "Origin not allowed"


class NotFound(ServiceError):
    """An id is unknown, or belongs to something that this key may not see."""

    status = 404
    title = "Not found"


class ModelNotFound(ServiceError):
    """A chat names a model that is not served."""

    status = 404
    title = "No such model"


class NotOffered(ServiceError):
    """A request of a kind that this model cannot answer; trying again does not help, so no 5xx."""

    status = 404
    title = "Not offered here"


class UploadStalled(ServiceError):
    """The client stopped sending in the middle of a body."""

    status = 408
    title = "Upload stalled"


class TooLarge(ServiceError):
    """An image or a body has too many bytes or pixels, judged before decoding."""

    status = 413
    title = "Image or body too large"


class UnsupportedImage(ServiceError):
    """A file is not an image, or has a format that is not read here."""

    status = 415
    title = "Unsupported image format"


class UnsupportedBody(ServiceError):
    """A request body has a content type that is not accepted."""

    status = 415
    title = "Unsupported content type"


class UnsupportedCoding(ServiceError):
    """A request body is compressed (gzip, deflate, br); bodies are taken as they are."""

    status = 415
    title = "Compressed bodies are not taken"


class InvalidField(ServiceError):
    """A field is unknown, out of range, or an image is unreadable; the detail starts with the field's name."""

    status = 422
    title = "Invalid field"


class UnsupportedParameter(InvalidField):
    """A field of another model asks for what Pheye cannot do."""

    title = "Unsupported parameter"


class FetchFailed(ServiceError):
    """The URL of an image is not allowed, or no image came from there; the detail names the host and the reason.

    Attributes:
        outcome: what metrics call it.
    """

    status = 422
    title = "Image could not be fetched"
    outcome: FetchOutcome = "refused"

    @classmethod
    def at(cls, host: str, reason: str, outcome: FetchOutcome = "refused") -> Self:
        """Make the error of one host; empty if there is none. Nothing else of a URL is repeated: it may be a secret."""
        error = cls(f"image_url: {host}: {reason}" if host else f"image_url: {reason}")
        error.outcome = outcome
        return error


class WaitingRoomFull(ServiceError):
    """The waiting queue is full; the request is refused before any decoding."""

    status = 429
    title = "Too many requests are waiting"
    retry_after_s = 1


class RateLimited(ServiceError):
    """The client has sent as many requests as its rate limit allows for now."""

    status = 429
    title = "Rate limit reached"
    retry_after_s = 1


class TooManyConcurrent(ServiceError):
    """The client has as many requests under way as it may have at a time."""

    status = 429
    title = "Too many requests at a time"
    retry_after_s = 1


class UploadsFull(WaitingRoomFull):
    """The bodies under way hold the client's share of the memory for them."""

    title = "Too many uploads are under way"


class HeadTooLarge(ServiceError):
    """The request line and the headers have too many bytes, or there are too many headers."""

    status = 431
    title = "Request Header Fields Too Large"


class Poisoned(ServiceError):
    """A poison request: workers keep dying while they work on it, at the same place of its answer."""

    status = 500
    title = "Request keeps killing its worker"


class RowFailed(ServiceError):
    """The model could not finish this request; others were not affected."""

    status = 500
    title = "Request failed in the model"


class Unavailable(ServiceError):
    """The service is loading or draining, or no worker is alive."""

    status = 503
    title = "Service unavailable"
    retry_after_s = 5


class ImagesUnreachable(ServiceError):
    """The folder of uploaded images fails or does not answer; requests that name no id are not affected."""

    status = 503
    title = "Uploaded images cannot be reached"
    retry_after_s = 5


class DeadlineExceeded(ServiceError):
    """The request's time ran out."""

    status = 504
    title = "Deadline exceeded"
