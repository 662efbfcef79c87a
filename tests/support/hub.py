"""A hub on this machine, whose repositories are folders, for `HF_ENDPOINT`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote

COMMIT = "0" * 40


class _Hub(BaseHTTPRequestHandler):
    repositories: Mapping[str, Path]

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self.wfile.write(self._answer())

    def _answer(self) -> bytes:
        path = unquote(self.path.split("?")[0])
        for repository, folder in self.repositories.items():
            if path.startswith(f"/api/models/{repository}/"):
                return self._send(path, json.dumps(_listed(repository, folder, tree="/tree/" in path)).encode())
            file = folder / path.removeprefix(f"/{repository}/resolve/").partition("/")[2]
            if path.startswith(f"/{repository}/resolve/") and file.is_file():
                return self._send(path, file.read_bytes())
        self.send_error(404)
        return b""

    def _send(self, path: str, content: bytes) -> bytes:
        self.send_response(200)
        self.send_header("ETag", f'"{path.encode().hex()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return content

    def log_message(self, *_: object) -> None:
        pass


def _listed(repository: str, folder: Path, *, tree: bool) -> object:
    files = {str(file.relative_to(folder)): file.stat().st_size for file in folder.rglob("*") if file.is_file()}
    if tree:
        return [{"type": "file", "path": name, "size": size, "oid": name} for name, size in files.items()]
    return {"id": repository, "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}


@contextmanager
def hub_of(repositories: Mapping[str, Path]) -> Iterator[dict[str, str]]:
    """Serve folders as repositories; gives the environment in which commands ask this hub alone."""
    handler = type("Hub", (_Hub,), {"repositories": repositories})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        yield {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        server.shutdown()
