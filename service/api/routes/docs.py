"""`/docs`: the OpenAPI document as a page, which loads nothing from elsewhere, and `/openapi.json` itself.

Two of the page's files are ours, the others Swagger UI's as they come with the `fastapi_offline` package. Needs no key
and holds nothing secret; its Authorize button takes the key for what it calls. Event loop.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from service.api.access.keys import KEYLESS
from service.api.routes.page_files import PageFiles, policy

# Swagger UI styles its elements one by one; everything else comes from this server's files.
FILES = PageFiles(
    "docs", policy(styles="'self' 'unsafe-inline'", images="'self' data:"), packages=[("fastapi_offline", "static")]
)

router = APIRouter(include_in_schema=False)


@router.get("/docs", openapi_extra=KEYLESS)
async def docs(request: Request) -> Response:
    """Show the API reference as a page."""
    return await FILES.get_response("page.html", request.scope)


@router.get("/docs/{name}", openapi_extra=KEYLESS)
async def docs_file(request: Request, name: str) -> Response:
    """Send a file of the page."""
    return await FILES.get_response(name, request.scope)


@router.get("/openapi.json", openapi_extra=KEYLESS)
async def openapi(request: Request) -> JSONResponse:
    """Send the OpenAPI document."""
    return JSONResponse(request.app.openapi())
