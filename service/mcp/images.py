"""Images of tool calls: from what an agent wrote to what the service is sent.

Over HTTP nothing is opened here, since an agent elsewhere must not read this machine's files; over stdio the agent runs
as the same user, and files are read and URLs fetched as for any command. Event loop; files are read in threads.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from model.bounded_files import read_at_most
from service.errors import ServiceError
from service.fetching.fetcher import fetch_for_user
from service.fetching.urls import looks_like_link, parse_link
from service.mcp.arguments import IMAGE_FIELDS
from service.mcp.service_client import SentImage, ToolError

ID_PREFIX = "img_"


class ImageSources(Protocol):
    """The places from which a tool call may take its image."""

    @property
    def local(self) -> bool:
        """True if files of this machine are among them."""

    async def image(self, given: Mapping[str, str]) -> SentImage | None:
        """Find the image; None if none is given.

        Raises:
            ToolError: there is more than one, or it cannot be had.
        """


@dataclass(frozen=True, slots=True)
class WebSources:
    """The image of an agent that calls over HTTP: the service itself gets it."""

    local: bool = False

    async def image(self, given: Mapping[str, str]) -> SentImage | None:
        """Pass on what was given, as it is."""
        return _passed_on(given, self.local)


@dataclass(frozen=True, slots=True)
class LocalSources:
    """The image of an agent on this machine, whose user this process runs as.

    Attributes:
        max_bytes: of a file.
    """

    max_bytes: int
    local: bool = True

    async def image(self, given: Mapping[str, str]) -> SentImage | None:
        """Read a file, fetch a URL, or pass on what else was given."""
        sent = _passed_on(given, self.local)
        if sent is None or sent.url is None:
            return sent
        if sent.argument == "image_url" and sent.url.lower().startswith("file:"):
            sent = SentImage("image_path", _path_of(sent.url))
        if sent.argument == "image_path":
            return await asyncio.to_thread(self._read, sent.url or "")
        if sent.argument == "image_url" and looks_like_link(sent.url or ""):
            return await self._fetched(sent.url or "")
        return sent

    async def _fetched(self, url: str) -> SentImage:
        try:
            link = parse_link(url)
            return SentImage("image_url", file=await asyncio.to_thread(fetch_for_user, link, self.max_bytes))
        except ServiceError as error:
            detail = error.detail.removeprefix("image_url: ").removeprefix("image: ")
            raise ToolError(f"image_url: {detail}") from None

    def _read(self, name: str) -> SentImage:
        """Read a regular file; a pipe or a device has no end."""
        where = name if name.isprintable() else ascii(name)
        try:
            path = Path(os.path.expanduser(name))
            where = os.path.abspath(path)
            where = where if where.isprintable() else ascii(where)
            mode = path.stat().st_mode
            if not stat.S_ISREG(mode):
                kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
                raise ToolError(f"image_path: {where}: this is {kind}; name an image file")
            file = read_at_most(path, self.max_bytes)  # some of `/proc` say that they are empty, and one may grow
            if len(file) > self.max_bytes:
                most = f"{self.max_bytes} bytes"
                raise ToolError(f"image_path: {where}: more than the {most} allowed; send a smaller image")
            return SentImage(f"image_path: {where}", file=file)
        except (OSError, ValueError) as error:  # a zero byte in it, or a folder to start from that is gone
            reason = getattr(error, "strerror", None) or str(error)
            raise ToolError(f"image_path: {where}: {reason}; name a file that this process can read") from None


def _path_of(url: str) -> str:
    """Return the path in a file: URL.

    Raises:
        ToolError: it is no URL.
    """
    try:
        return unquote(urlsplit(url).path)
    except ValueError as error:  # brackets without an address in them
        raise ToolError(f"image_url: {error}; write file:///path, or image_path") from None


def _passed_on(given: Mapping[str, str], local: bool) -> SentImage | None:
    """Check that there is one image at most, of a kind that is taken here.

    Raises:
        ToolError: there are several, or it is a file of another machine.
    """
    if "image_path" in given and not local:
        raise ToolError(
            "image_path: this server cannot see your files; send image_base64, image_url, or upload the image and "
            "send its image_id (`pheye mcp --server URL` on your machine takes paths)"
        )
    if len(given) > 1:
        raise ToolError(f"{' and '.join(given)}: send one image, in one of these ways")
    if not given:
        return None
    [(name, value)] = given.items()
    if not value.strip():
        raise ToolError(f"{name}: must not be empty")
    if name == "image_id" and not value.startswith(ID_PREFIX):
        raise ToolError(f"image_id: the ids of uploaded images begin with {ID_PREFIX}")
    return SentImage(name, value)


def none_given(local: bool) -> ToolError:
    """Make the error of a call without an image."""
    names = IMAGE_FIELDS if local else IMAGE_FIELDS[1:]
    return ToolError(f"image: there is none; send one of {', '.join(names)}")
