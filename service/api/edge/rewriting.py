"""The request as the routes see it: below the path prefix of a reverse proxy, and HEAD as GET.

Owns how ASGI's `root_path` and `path` are set, and links that hold for the client. Knows no route by name. Event loop.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import Scope


def as_routed(scope: Scope, root_path: str) -> Scope:
    """Return the scope for the routes; the one that was given stays as it is.

    ASGI wants the whole path with its prefix in `path`. A proxy that strips the prefix sends the rest of it alone, one
    that does not sends all of it: both are understood.

    >>> as_routed({"method": "HEAD", "path": "/livez"}, "/pheye")
    {'method': 'GET', 'path': '/pheye/livez', 'root_path': '/pheye'}
    >>> as_routed({"method": "GET", "path": "/pheye/livez"}, "/pheye")["path"]
    '/pheye/livez'
    """
    changes = {"method": "GET"} if scope["method"] == "HEAD" else {}
    if root_path:
        path = scope["path"]
        whole = path == root_path or path.startswith(f"{root_path}/")
        changes |= {"path": path if whole else root_path + path, "root_path": root_path}
    return {**scope, **changes} if changes else scope


def path_below_prefix(scope: Scope) -> str:
    """Return the path without the prefix, as routes are written; empty for the prefix alone.

    >>> path_below_prefix({"path": "/pheye/v1", "root_path": "/pheye"})
    '/v1'
    """
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def link_to(request: Request, route: str, **params: str) -> str:
    """Return the path by which a client reaches a route, prefix included."""
    return f"{request.scope.get('root_path', '')}{request.app.url_path_for(route, **params)}"
