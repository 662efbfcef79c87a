"""`/docs`: the OpenAPI document as a page, which loads nothing from elsewhere.

Owns which files the page is made of: two of ours, and Swagger UI's as they come with the `fastapi_offline` package.
Needs no key and holds nothing secret; its Authorize button takes the key for what it calls. Event loop; files are sent
by the framework's threads.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

# Swagger UI styles its elements one by one; everything else comes from this server's files.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}

router = APIRouter(include_in_schema=False)


def _swagger_ui() -> Path:
    spec = find_spec("fastapi_offline")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "static"


FOLDER = Path(__file__).parents[1] / "pages" / "docs"
FILES = {
    "page.js": FOLDER / "page.js",
    **{name: _swagger_ui() / name for name in ("swagger-ui-bundle.js", "swagger-ui.css")},
}


@router.get("/docs")
async def docs() -> FileResponse:
    """The page."""
    return FileResponse(FOLDER / "page.html", headers=HEADERS)


@router.get("/docs/{name}")
async def docs_file(name: str) -> FileResponse:
    """A part of the page."""
    if name not in FILES:
        raise HTTPException(404)
    return FileResponse(FILES[name], headers=HEADERS)
