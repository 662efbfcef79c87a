"""`/`: the playground, a page that asks about images for people who want to look before they write code.

Needs no key, because a browser can send none before the page that asks for it is there, and holds nothing secret.
Knows no model: the page asks the other routes as any client does. Event loop.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.api.access.keys import KEYLESS
from service.api.routes.page_files import PageFiles, policy

FILES = PageFiles("playground", policy(styles="'self'", images="'self' data: blob:"))

router = APIRouter(include_in_schema=False)


@router.get("/", openapi_extra=KEYLESS)
async def playground(request: Request) -> Response:
    """Show the playground."""
    return await FILES.get_response("index.html", request.scope)


@router.get("/favicon.ico", openapi_extra=KEYLESS)
async def favicon(request: Request) -> Response:
    """Send the icon that browsers ask for by themselves."""
    return await FILES.get_response("favicon.svg", request.scope)


@router.get("/playground/{name:path}", openapi_extra=KEYLESS)
async def playground_file(request: Request, name: str) -> Response:
    """Send a file of the playground."""
    return await FILES.get_response(name, request.scope)
