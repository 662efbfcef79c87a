"""The playground: one page at `/` and the files it is made of, for whoever wants to look before they write code.

Owns the headers that shut the page in: it loads and calls nothing but this server. Needs no key and holds nothing
secret. Knows no model: the page asks the other routes as any client does. Event loop; files are read at import.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

FOLDER = Path(__file__).parents[1] / "pages" / "playground"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
    ".png": "image/png",
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # kept, but asked about each time: a new version shows at once
}

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file as it is sent."""

    content: bytes
    media_type: str
    etag: str


def page_files(folder: Path = FOLDER) -> Mapping[str, PageFile]:
    """Every file of the page by its path below `folder`; nothing else can be asked for."""
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix in MEDIA_TYPES]
    return MappingProxyType({path.relative_to(folder).as_posix(): _read(path) for path in paths})


def _read(path: Path) -> PageFile:
    content = path.read_bytes()
    return PageFile(content, MEDIA_TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')


FILES = page_files()


@router.get("/")
async def playground(request: Request) -> Response:
    """The page."""
    return _send(request, "index.html")


@router.get("/favicon.ico")
async def favicon(request: Request) -> Response:
    """What browsers ask for unasked."""
    return _send(request, "favicon.svg")


@router.get("/playground/{name:path}")
async def playground_file(request: Request, name: str) -> Response:
    """A part of the page."""
    return _send(request, name)


def _send(request: Request, name: str) -> Response:
    if name not in FILES:
        raise HTTPException(404)
    file = FILES[name]
    headers = HEADERS | {"ETag": file.etag}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if file.etag in known:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
