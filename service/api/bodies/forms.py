"""Forms (multipart/form-data) and query strings, parsed in memory and refused if they are not whole or not UTF-8.

Starlette's parser spools a file over 1 MiB to the disk and takes what has arrived for the whole form. Here the bytes of
a body are bounded already (`service.api.connections.uploads`), so serving needs no folder that can be written. Event
loop.
"""

from __future__ import annotations

import logging
import re
import sys
from urllib.parse import parse_qsl

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers
from starlette.formparsers import MultiPartException, MultiPartParser

from service.errors import BadRequest
from service.fetching.urls import looks_like_link
from service.schemas.requests import shown_name

IMAGE = b"image"  # the field whose part is a file
MAX_FIELDS = 512
MAX_FILES = 4
_IMAGE_URL = re.compile(r"(?:^|(?<=&))image_url=[^&]*")  # in a query
_CHARSET = re.compile(r";\s*charset\*?\d*\*?\s*=\s*(\"[^\"]*\"|[^;]*)", re.IGNORECASE)

logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every chunk behind the last boundary


class _FormHeaders(Headers):
    """The headers of a form without its charset: names and texts are UTF-8.

    Any codec of Python's could be named otherwise, some of which fail in ways of their own or take for ever.
    """

    def __getitem__(self, key: str) -> str:
        value = super().__getitem__(key)
        return _CHARSET.sub("", value) if key.lower() == "content-type" else value


class _MemoryParser(MultiPartParser):
    spool_max_size = sys.maxsize  # bytes of a file that are kept in memory: all

    _complete = False

    def on_headers_finished(self) -> None:
        """Take a part named `image` for a file, whether it has a file name or not.

        A form's file name may be missing, or there in the extended syntax alone (`filename*`), which is none in a form.
        """
        part = self._current_part
        _, options = parse_options_header(part.content_disposition)
        if options.get(b"name") == IMAGE and b"filename" not in options and part.content_disposition:
            part.content_disposition += b'; filename=""'
        super().on_headers_finished()

    def on_part_end(self) -> None:
        """Refuse a text that is not UTF-8, which would be taken for Latin-1: perhaps another question than was asked.

        Raises:
            BadRequest: it is not.
        """
        part = self._current_part
        try:
            part.data.decode("utf-8")  # nothing of a file is here
        except UnicodeDecodeError:
            raise _not_utf8(part.field_name) from None
        super().on_part_end()

    def on_end(self) -> None:
        """Note that the last boundary has come."""
        self._complete = True

    async def parse(self) -> FormData:
        """Parse the whole form.

        Raises:
            MultiPartException: it is no form, or ends before its last boundary.
        """
        try:
            form = await super().parse()
        except BaseException:  # the parser itself closes the parts it has begun after some kinds of failure only
            for file in self._files_to_close_on_error:
                file.close()
            raise
        if not self._complete:
            await form.close()
            raise MultiPartException("the form is cut off before its last boundary; send all of it")
        return form


def query_items(query: str) -> list[tuple[str, str]]:
    """Read a query string; the framework's parser puts other characters in place of what is not UTF-8.

    Who forgets to encode a `+` has sent a blank, and without it an image in base64, or by a link, would be another one.

    Raises:
        BadRequest: a name or a value is not UTF-8.

    >>> query_items("question=caf%C3%A9+noir&stop=")
    [('question', 'café noir'), ('stop', '')]
    """
    whole = _IMAGE_URL.sub(lambda found: found[0].replace("+", "%2B"), query)
    items = parse_qsl(whole, keep_blank_values=True, errors="surrogateescape")
    for name, value in items:
        if any("\udc80" <= each <= "\udcff" for each in name + value):
            raise _not_utf8(name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
    return [(name, _without_blanks(value) if name == "image_url" else value) for name, value in items]


def _without_blanks(image_url: str) -> str:
    """Undo what made blanks: of a link its own %20, which was not encoded again; of base64 somebody's decoded `+`.

    >>> _without_blanks("https://a/b c.png"), _without_blanks("data:image/png;base64,a b")
    ('https://a/b%20c.png', 'data:image/png;base64,a+b')
    """
    if looks_like_link(image_url):
        return image_url.strip().replace(" ", "%20")
    return image_url.replace(" ", "+")


def _not_utf8(name: str) -> BadRequest:
    return BadRequest(f"{shown_name(name)}: not UTF-8 text; send it in UTF-8")


async def read_form(request: Request) -> FormData:
    """Read a form; whoever reads it closes it.

    Raises:
        BadRequest: it is no form, is cut off, has too many parts, or a text that is not UTF-8.
        TooLarge: too many bytes.
    """
    # A text may be an image in base64, so the bound of the whole body is the one that counts.
    parser = _MemoryParser(
        _FormHeaders(raw=request.headers.raw),
        request.stream(),
        max_files=MAX_FILES,
        max_fields=MAX_FIELDS,
        max_part_size=sys.maxsize,
    )
    try:
        return await parser.parse()
    except MultiPartException as error:  # also: no boundary
        raise BadRequest(f"body: {error.message}") from None
