"""A hub with one repository, whose files are those of a folder, for `HF_ENDPOINT`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote

COMMIT = "0" * 40


@contextmanager
def hub_of(repository: str, folder: Path) -> Iterator[dict[str, str]]:
    """Serve the folder as a repository; gives the environment in which commands ask this hub alone."""

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self.wfile.write(self._answer())

        def _answer(self) -> bytes:
            path = unquote(self.path.split("?")[0])
            files = {str(file.relative_to(folder)): file for file in folder.rglob("*") if file.is_file()}
            if path.startswith(f"/api/models/{repository}/tree/"):
                tree = [
                    {"type": "file", "path": name, "size": files[name].stat().st_size, "oid": name} for name in files
                ]
                return self._send("tree", json.dumps(tree).encode())
            if path.startswith(f"/api/models/{repository}"):
                told = {"id": repository, "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
                return self._send("told", json.dumps(told).encode())
            name = path.removeprefix(f"/{repository}/resolve/").partition("/")[2]
            if name in files:
                return self._send(name, files[name].read_bytes())
            self.send_error(404)
            return b""

        def _send(self, tag: str, content: bytes) -> bytes:
            self.send_response(200)
            self.send_header("ETag", f'"{tag.encode().hex()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            return content

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield {
            "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
        }
        server.shutdown()
