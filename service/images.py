"""Images as clients send them: the bytes of a file, or a data URI.

Owns which data URIs are taken. Looks at no image: `service.decoding` reads the bytes, in processes of its own. Every
function is safe from any thread. Image data never enters a message.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from service.errors import BadRequest

_DATA_URI = re.compile(r"data:[^,;]{0,100}(?:;[^,;]{1,100}){0,4}?;base64,", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ImageSource:
    """An image as it arrived: the bytes of a file, or a data URI that looks like one."""

    content: bytes | str

    def file_bytes(self) -> bytes:
        """The bytes of the image file.

        Raises:
            BadRequest: the data URI's base64 is broken.
        """
        return self.content if isinstance(self.content, bytes) else _decode(self.content)


def check_data_uri(uri: str) -> ImageSource:
    """Check the head of a data URI; its base64 is decoded later, off the event loop.

    Raises:
        BadRequest: a link, or something else.
    """
    if uri[:8].lower().startswith(("http://", "https://")):
        raise BadRequest("image_url: fetching URLs is off; send a data URI or upload")
    if _DATA_URI.match(uri) is None:
        raise BadRequest("image_url: not a base64 data URI; send data:image/jpeg;base64,... or upload the file")
    return ImageSource(uri)


def _decode(uri: str) -> bytes:
    try:
        return base64.b64decode(uri[uri.index(",") + 1 :], validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest("image_url: broken base64; keep the padding and leave out line breaks") from None
