"""URLs of images, read once: what is checked here is what is asked for, so no second parser can see another host.

Knows no list of hosts and opens no connection. Pure; safe from any thread.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, urljoin

from service.configuration.image_hosts import WEB_PORTS, Address, normal_host
from service.errors import FetchFailed

MAX_URL_CHARS = 8192
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?:#.*)?", re.IGNORECASE | re.DOTALL
)
_AUTHORITY = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]+)(?::(?P<port>[0-9]{0,5}))?")
# In no URL: some clients drop these and some take them for other ones; surrogates have no encoding.
_NEVER = re.compile(r"[\x00-\x20\x7f\\\ud800-\udfff]")
_KEPT = "/%:@!$&'()*+,;=-._~?[]|^`{}\"<>"  # in path and query: as it came, since signatures may cover it
NOT_A_URL = "not an http(s) URL; write https://HOST/PATH, percent-encoded"


@dataclass(frozen=True, slots=True)
class ImageLink:
    """An image on the web, by an `http` or `https` URL.

    Attributes:
        scheme: `http` or `https`.
        host: a name in lower-case ASCII, or an address.
        port: explicit, or the scheme's own.
        target: path and query, percent-encoded.
    """

    scheme: str
    host: str | Address
    port: int
    target: str

    @property
    def authority(self) -> str:
        """The host, with its port where that is not the scheme's own, as in the header `Host`."""
        host = f"[{self.host}]" if isinstance(self.host, ipaddress.IPv6Address) else str(self.host)
        return host if self.port == _own_port(self.scheme) else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"

    def followed(self, location: str) -> ImageLink:
        """Read the URL that a redirect of this one leads to.

        Raises:
            FetchFailed: it leads to no image that could be fetched.
        """
        try:
            return _parsed(urljoin(str(self), location))
        except _NoLink as error:
            raise FetchFailed.at(str(self.host), f"its redirect: {error}") from None
        except ValueError:
            raise FetchFailed.at(str(self.host), "its redirect leads to no URL", "failed") from None


def looks_like_link(text: str) -> bool:
    """Say whether a text wants to be the URL of an image on the web.

    >>> [looks_like_link(text) for text in (" HTTPS://a/b.png", "data:image/png;base64,", "img_0")]
    [True, False, False]
    """
    return text[:64].lstrip().lower().startswith(("http:", "https:"))


def parse_link(text: str) -> ImageLink:
    """Read the URL of an image.

    Raises:
        FetchFailed: it is none that could be fetched, wherever it leads.

    >>> parse_link("https://Example.org:443/a b.png".replace(" ", "%20"))
    ImageLink(scheme='https', host='example.org', port=443, target='/a%20b.png')
    """
    try:
        return _parsed(text)
    except _NoLink as error:
        raise FetchFailed.at("", str(error)) from None


class _NoLink(ValueError):
    """A text that is no URL which could be fetched; the message says why and repeats nothing."""


def _parsed(text: str) -> ImageLink:
    if len(text) > MAX_URL_CHARS:
        raise _NoLink(f"a URL of more than {MAX_URL_CHARS} characters")
    found = _URL.fullmatch(text.strip())
    if found is None or _NEVER.search(found[0]):
        raise _NoLink(NOT_A_URL)
    if "@" in found["authority"]:
        raise _NoLink("no user and no password are taken in a URL")
    split = _AUTHORITY.fullmatch(found["authority"])
    if split is None:
        raise _NoLink(NOT_A_URL)
    try:
        host = normal_host(split["host"])
    except ValueError as error:
        raise _NoLink(str(error)) from None
    scheme = found["scheme"].lower()
    port = int(split["port"] or _own_port(scheme))
    if not 0 < port < 65536:
        raise _NoLink("there is no such port")
    return ImageLink(scheme, host, port, quote((found["path"] or "/") + (found["query"] or ""), safe=_KEPT))


def _own_port(scheme: str) -> int:
    return WEB_PORTS[scheme == "https"]
