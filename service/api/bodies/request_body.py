"""Request bodies - JSON, a form, or an image with query parameters - as one kind of checked request.

Owns content types and what is a field and what is the image in each; the image may be one that the caller has stored.
What a field may hold is `service.schemas.requests`'. Event loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, get_args, get_origin

from fastapi import Request
from pydantic import BaseModel
from starlette.datastructures import FormData, UploadFile

from model.pixels.tiles import TiledImage
from service.api.bodies.forms import query_items, read_form
from service.api.bodies.json_text import json_object
from service.api.image_store import PREFIX
from service.api.moondream import is_moondream, set_aside
from service.api.openai.ignored import header_value
from service.api.request_context import context_of, sent_names
from service.api.uploaded_images import UploadedImages
from service.errors import InvalidField, UnsupportedBody
from service.fetching.urls import ImageLink, looks_like_link, parse_link
from service.images import ImageSource, check_image_text
from service.schemas.requests import SHOWN_CHARS, Asked, SamplingFields, check, shown_name

WORDS_BYTES = 200  # no image file begins with so many printable characters and nothing else
ACCEPTED = "application/json, multipart/form-data or image/*"
CURLS_OWN = ("application/x-www-form-urlencoded", "")  # what `curl --data-binary` says, or nothing, unless it is told

AskedImage = ImageSource | ImageLink | TiledImage  # sent, to be fetched, or stored before


@dataclass(frozen=True, slots=True)
class ImageRequest(Generic[Asked]):
    """A checked request and its image."""

    fields: Asked
    image: AskedImage


@dataclass(frozen=True, slots=True)
class OptionalImageRequest(Generic[Asked]):
    """A checked request that may come without an image."""

    fields: Asked
    image: AskedImage | None


@dataclass(frozen=True, slots=True)
class _ParsedBody(Generic[Asked]):
    """The parsed content of a body: its fields, and an uploaded file if there was one."""

    fields: Asked
    file: bytes | None


async def find_image(request: Request, image_url: str) -> AskedImage:
    """Resolve an `image_url`: one of the caller's stored images, a link to be fetched later, or base64.

    Raises:
        NotFound: no such image is stored, for this caller.
        ImagesUnreachable: the folder of stored images fails.
        FetchFailed: a link that nobody could follow.
        BadRequest: nothing of these.
    """
    if looks_like_link(image_url):
        return parse_link(image_url)
    if not image_url.startswith(PREFIX):
        return check_image_text(image_url)
    images: UploadedImages = request.app.state.parts.images
    return await images.use(context_of(request.scope), image_url)


async def read_json(request: Request) -> dict[str, Any]:
    """Read the fields of a route that takes nothing but JSON.

    Raises:
        BadRequest: the body is not a JSON object.
        UnsupportedBody: the content type is another.
        InvalidField: there are query parameters.
        TooLarge: too many bytes.
    """
    check_is_json(request)
    return json_object(await request.body(), "body")


def check_is_json(request: Request) -> None:
    """Check that a request says that its body is JSON, and has nothing beside the body.

    Raises:
        UnsupportedBody: the content type is another.
        InvalidField: there are query parameters.
    """
    if _content_type(request) != "application/json":
        raise UnsupportedBody(f"content-type: {_content_type(request)[:SHOWN_CHARS] or 'none'}; send application/json")
    if query := _query(request):
        raise InvalidField(f"{shown_name(query.partition('=')[0])}: no query parameters are taken here")


async def read_ask(request: Request, kind: type[Asked]) -> ImageRequest[Asked]:
    """Read and check a request, whichever way it was sent.

    Raises:
        BadRequest: the body is not what its content type says, or the text of the image is none.
        UnsupportedBody: the content type is none of the three.
        InvalidField: a field is unknown or out of range, or there is not exactly one image.
        NotFound: it names an image that is not stored.
        ImagesUnreachable: the folder of stored images fails.
        TooLarge: too many bytes.
    """
    ask = await read_maybe_ask(request, kind)
    if ask.image is None:
        raise InvalidField(
            "image_url: no image; send image_url in JSON, a file field image in a form, or the image itself"
        )
    return ImageRequest(ask.fields, ask.image)


async def read_maybe_ask(request: Request, kind: type[Asked]) -> OptionalImageRequest[Asked]:
    """Read and check a request that need not have an image."""
    sent = await _read(request, kind)
    if getattr(sent.fields, "questions", None) is not None:
        sent_names(request.scope)["question"] = "questions"
    url = sent.fields.image_url
    if url is None:
        return OptionalImageRequest(sent.fields, None if sent.file is None else ImageSource(sent.file))
    if sent.file is not None:
        raise InvalidField("image_url: an image was uploaded too; send one of them")
    return OptionalImageRequest(sent.fields, await find_image(request, url))


async def _read(request: Request, kind: type[Asked]) -> _ParsedBody[Asked]:
    content_type = _content_type(request)
    if content_type.startswith("image/"):
        return _ParsedBody(check(kind, _from_query(request, kind), strict=False), await request.body())
    if not content_type and not await request.body():
        return _ParsedBody(check(kind, _from_query(request, kind), strict=False), None)
    if content_type not in ("application/json", "multipart/form-data"):
        curl = "; with curl add -H 'Content-Type: image/jpeg'" if content_type in CURLS_OWN else ""
        raise UnsupportedBody(
            f"content-type: {content_type[:SHOWN_CHARS] or 'none'} is not accepted; send {ACCEPTED}{curl}"
        )
    if query := _query(request):
        name = shown_name(query.partition("=")[0])
        raise InvalidField(f"{name}: query parameters go with an image/* body or with none; put fields into the body")
    if content_type == "application/json":
        fields = json_object(await request.body(), "body")
        if is_moondream(request.scope) and not request.app.state.parts.settings.strict:
            fields, ignored = set_aside(kind, fields)
            context_of(request.scope).ignored = header_value(ignored)
        return _ParsedBody(check(kind, fields, strict=True), None)
    return await _read_form(request, kind)


def _from_query(request: Request, kind: type[BaseModel]) -> dict[str, Any]:
    return _from_text(kind, query_items(_query(request)), sent_names(request.scope))


def _query(request: Request) -> str:
    query: bytes = request.scope["query_string"]
    return query.decode("latin-1")  # of any bytes; the framework's `url` fails on those that are not UTF-8


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _read_form(request: Request, kind: type[Asked]) -> _ParsedBody[Asked]:
    form = await read_form(request)
    try:
        image = await _take_image(form)
        texts = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    finally:
        await form.close()
    fields = _from_text(kind, texts, sent_names(request.scope))
    return _ParsedBody(check(kind, fields, strict=False), image)


async def _take_image(form: FormData) -> bytes | None:
    image = None
    for name, value in form.multi_items():
        if not isinstance(value, UploadFile):
            continue
        if name != "image":
            raise InvalidField(f"{shown_name(name)}: a file is accepted in the field image only")
        if image is not None:
            raise InvalidField("image: given more than once")
        image = await value.read()
        if not value.filename and _is_words(image):
            raise InvalidField(
                "image: this is text and no file; with curl write image=@photo.jpg, and put a data URI or the id of an "
                "uploaded image into image_url"
            )
    return image


def _is_words(content: bytes) -> bool:
    """Say whether a part without a file name is what somebody typed in place of a file."""
    return content[:WORDS_BYTES].isascii() and content[:WORDS_BYTES].decode("ascii").isprintable() and bool(content)


def _from_text(kind: type[BaseModel], items: Iterable[tuple[str, str]], sent_as: dict[str, str]) -> dict[str, Any]:
    """Read form fields or query parameters: lists by repeating a name, settings as one JSON object or by their names.

    Args:
        kind: of request.
        items: names and values, as they were sent.
        sent_as: is told which settings were sent by their names.

    Raises:
        InvalidField: a name that is no list's is given more than once.
        BadRequest: `settings` is no JSON object.
    """
    fields: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    has_settings = "settings" in kind.model_fields
    for name, value in items:
        if has_settings and name in SamplingFields.model_fields:
            _add(settings, SamplingFields, name, value)
            sent_as[f"settings.{name}"] = name
        else:
            _add(fields, kind, name, value)
    if has_settings and "settings" in fields:
        fields["settings"] = json_object(fields["settings"], "settings")
    if twice := settings.keys() & fields.get("settings", {}):
        raise InvalidField(f"{min(twice)}: given in settings too")
    return fields | {"settings": fields.get("settings", {}) | settings} if settings else fields


def _add(fields: dict[str, Any], kind: type[BaseModel], name: str, value: str) -> None:
    if _is_list(kind, name):
        fields.setdefault(name, []).append(value)
    elif name in fields:
        several = f"; for several repeat {name}s instead" if _is_list(kind, f"{name}s") else ""
        raise InvalidField(f"{shown_name(name)}: given more than once{several}")
    else:
        fields[name] = value


def _is_list(kind: type[BaseModel], name: str) -> bool:
    return name in kind.model_fields and _holds_list(kind.model_fields[name].annotation)


def _holds_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(_holds_list(part) for part in get_args(annotation))
