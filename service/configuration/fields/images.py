"""Settings of images: decoding, fetching by URL, uploads that are kept.

Each with its unit and bounds. Pure data.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from service.byte_units import GIB, MIB
from service.configuration.fields.checks import OptionalFolder, check_image_hosts


class ImageSettings(BaseModel):
    """The settings of reading, fetching and keeping images."""

    max_pixels: int = Field(
        default=50_000_000,
        ge=1024,
        le=1_000_000_000,
        description="Pixels (width x height) of the largest image, 1024 to 1e9.",
    )
    decoders: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Processes that decode images and cut them into tiles, 1 to 64; commands that need no server "
        "use threads.",
    )
    decode_timeout_s: float = Field(
        default=10.0,
        ge=0.1,
        le=3600.0,
        description="Seconds that decoding one image may take before it is refused, 0.1 to 3600.",
    )
    exact_decoding: bool = Field(
        default=False,
        description="Whether a JPEG much larger than the tiles is decoded at full size. Otherwise it is decoded "
        "at a half, a quarter or an eighth, no smaller than twice the largest view, which is several "
        "times as fast.",
    )
    image_hosts: Annotated[str, AfterValidator(check_image_hosts)] = Field(
        default="",
        description="Comma-separated hosts from which images are fetched by URL; empty: none. `example.org`, "
        "`*.example.org`, `example.org:8443` for a port that is not 80 or 443, `*` for any public "
        "address. A host with a private address needs that address, or a network such as "
        "`10.0.0.0/8`, in the list too.",
    )
    image_fetches: int = Field(
        default=16,
        ge=1,
        le=1024,
        description="Images fetched at the same time, 1 to 1024. One client may have as many in flight as are "
        "still free.",
    )
    image_fetch_timeout_s: float = Field(
        default=10.0,
        ge=0.1,
        le=3600.0,
        description="Seconds that fetching one image may take, from its host's name to its last byte, 0.1 to 3600.",
    )
    image_store_bytes: int = Field(
        default=256 * MIB,
        ge=0,
        le=1024 * GIB,
        description="Bytes of uploaded images kept in memory for requests that name them by id, 0 (no ids) to 1 TiB.",
    )
    image_folder: OptionalFolder = Field(
        default=None,
        description="Folder that keeps uploaded images when the service restarts; absent: none. Servers may share"
        " it: then an id from one of them is valid on all. Without it, an id is valid only on the "
        "server that gave it.",
    )
    image_folder_bytes: int = Field(
        default=10 * GIB,
        ge=1024**2,
        le=1024**5,
        description="Bytes that the files of the image folder may add up to, 1 MiB to 1 PiB. Beyond it, the "
        "clients that hold the most lose their least recently used images.",
    )
    image_ttl_s: float = Field(
        default=3600.0,
        ge=1.0,
        le=31_536_000.0,
        description="Seconds after its latest upload at which a kept image is dropped, 1 to 31536000 (a year).",
    )
