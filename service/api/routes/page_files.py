"""Files of a page, with headers that keep the page to itself: it loads from and calls this server only.

Owns the headers; finding files, media types and caching are Starlette's. Files are read in the framework's threads.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parents[1] / "pages"
HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # kept, but asked about each time: a new version shows at once
}


def policy(*, styles: str, images: str) -> str:
    """Write a Content-Security-Policy that allows this server's scripts, and styles and images from these sources."""
    return (
        f"default-src 'none'; script-src 'self'; style-src {styles}; img-src {images}; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


class PageFiles(StaticFiles):
    """The files in a folder of `pages/`, and in a folder of a package if one is named."""

    def __init__(self, name: str, csp: str, packages: list[str | tuple[str, str]] | None = None) -> None:
        """Serve `pages/NAME` under this Content-Security-Policy."""
        super().__init__(directory=FOLDER / name, packages=packages)
        self._headers = {"Content-Security-Policy": csp, **HEADERS}

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Find a file and send the whole of it: parts of files this small are not worth what many ranges cost."""
        scope["headers"] = [header for header in scope["headers"] if header[0] != b"range"]
        return await super().get_response(path, scope)

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Send a file, or 304 if the client has it, with the page's security headers."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(self._headers)
        return response
