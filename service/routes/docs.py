"""`/docs`: the OpenAPI document as a page, which loads nothing from elsewhere.

Owns where Swagger UI's files come from: they are those of the `fastapi_offline` package. Event loop; files are sent by
the framework's threads.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse
from starlette.exceptions import HTTPException

# The page's own script is inline; everything else comes from this server.
POLICY = "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"

router = APIRouter(include_in_schema=False)


def _folder() -> Path:
    spec = find_spec("fastapi_offline")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "static"


FOLDER = _folder()
FILES = ("swagger-ui-bundle.js", "swagger-ui.css")


@router.get("/docs", name="swagger_ui_html")
async def docs(request: Request) -> HTMLResponse:
    """The page."""
    page = get_swagger_ui_html(
        openapi_url=str(request.app.openapi_url),
        title=str(request.app.title),
        swagger_js_url="/docs/swagger-ui-bundle.js",
        swagger_css_url="/docs/swagger-ui.css",
        swagger_favicon_url="/favicon.ico",
    )
    page.headers["Content-Security-Policy"] = POLICY
    return page


@router.get("/docs/{name}")
async def docs_file(name: str) -> FileResponse:
    """A part of the page."""
    if name not in FILES:
        raise HTTPException(404)
    return FileResponse(FOLDER / name)
