"""Hosts and addresses from which images may be fetched: `PHEYE_IMAGE_HOSTS`, read and asked.

Owns the notation of that list, the one form in which a host is compared, and which addresses are public. Names are
never resolved here. Pure; safe from any thread.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

import idna

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

WEB_PORTS = (80, 443)
LOCALHOST = "localhost"  # which RFC 6761 keeps for loopback addresses
MAX_NAME_CHARS = 253
MAX_HOST_CHARS = 512  # as it is written, perhaps in another script
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # as a last label it makes an address of a name: 127.1, 0x7f.1, 2130706433
_PORT = re.compile(r"(?P<host>.+):(?P<port>[0-9]{1,5})")
_UNICAST = ipaddress.IPv6Network("2000::/3")
# Global by the registries, and yet no place for an image: relays into IPv4, where an address hides another one, and the
# host's own agent in a public cloud.
_ODD_NETWORKS: tuple[Network, ...] = (
    ipaddress.IPv4Network("168.63.129.16/32"),  # the agent of Azure's virtual machines
    ipaddress.IPv4Network("192.0.0.0/24"),  # assigned to protocols
    ipaddress.IPv4Network("192.31.196.0/24"),  # AS112
    ipaddress.IPv4Network("192.52.193.0/24"),  # relays of AMT
    ipaddress.IPv4Network("192.88.99.0/24"),  # relays of 6to4
    ipaddress.IPv4Network("192.175.48.0/24"),  # AS112
    ipaddress.IPv6Network("2001::/23"),  # assigned to protocols, Teredo among them
    ipaddress.IPv6Network("2002::/16"),  # 6to4
    ipaddress.IPv6Network("2620:4f:8000::/48"),  # AS112
    ipaddress.IPv6Network("3fff::/20"),  # documentation
)


def is_public(address: Address) -> bool:
    """Say whether an address belongs to the public internet, and to nothing that leads elsewhere from there.

    >>> [is_public(ipaddress.ip_address(text)) for text in ("8.8.8.8", "10.1.2.3", "::ffff:8.8.8.8", "64:ff9b::a00:1")]
    [True, False, False, False]
    """
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return False
    return not any(address in network for network in _ODD_NETWORKS)


def normal_host(host: str) -> str | Address:
    """Return the one form in which a host is compared and asked for: an address, or a name in lower-case ASCII.

    Raises:
        ValueError: it is neither; the message says why and repeats nothing.

    >>> normal_host("Bücher.Example."), normal_host("[::1]")
    ('xn--bcher-kva.example', IPv6Address('::1'))
    """
    if len(host) > MAX_HOST_CHARS:
        raise ValueError("not the name of a host")
    if host.startswith("["):
        return _ipv6(host)
    try:
        return ipaddress.IPv4Address(host)
    except ValueError:
        name = _ascii(host).removesuffix(".")
    labels = name.split(".")
    if len(name) > MAX_NAME_CHARS or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("not the name of a host")
    if _NUMBER.fullmatch(labels[-1]):
        raise ValueError("a number for a host; write an IPv4 address as four decimal numbers")
    return name


def _ipv6(host: str) -> ipaddress.IPv6Address:
    try:
        address = ipaddress.IPv6Address(host[1:-1] if host.endswith("]") else "")
    except ValueError:
        raise ValueError("no IPv6 address between the brackets") from None
    if address.scope_id is not None:
        raise ValueError("an IPv6 address with a zone")
    return address


def _ascii(host: str) -> str:
    try:
        return host.lower() if host.isascii() else idna.encode(host.lower()).decode("ascii")
    except UnicodeError:  # of which idna's errors are a kind
        raise ValueError("not the name of a host") from None


@dataclass(frozen=True, slots=True)
class HostRule:
    """An entry of the list.

    Attributes:
        name: `example.org`, `*.example.org`, `*`, or empty in a rule for addresses.
        network: addresses, or None in a rule for names.
        port: the only port; None for the ports of the web.
    """

    name: str
    network: Network | None
    port: int | None

    def fits_port(self, port: int) -> bool:
        """Say whether the rule is for a port."""
        return port in WEB_PORTS if self.port is None else port == self.port

    def is_localhost(self, port: int) -> bool:
        """Say whether the rule lists `localhost` itself, at a port."""
        return self.name == LOCALHOST and self.fits_port(port)

    def fits_host(self, host: str | Address) -> bool:
        """Say whether the rule is for a host as a URL names it."""
        if self.network is not None:
            return not isinstance(host, str) and host in self.network
        if self.name == "*":
            return isinstance(host, str) or is_public(host)
        if not isinstance(host, str):
            return False
        return host.endswith(self.name[1:]) if self.name.startswith("*") else host == self.name


@dataclass(frozen=True, slots=True)
class HostRules:
    """The whole list: which hosts may be named in a URL, and at which addresses they may be reached.

    Attributes:
        rules: without any, nothing is fetched.
        unrestricted: whether everything is allowed, as to the user of a command on their own machine.
    """

    rules: tuple[HostRule, ...] = ()
    unrestricted: bool = False

    def __bool__(self) -> bool:
        return self.unrestricted or bool(self.rules)

    def allow_host(self, host: str | Address) -> bool:
        """Say whether a host may be asked, at some port."""
        return self.unrestricted or any(rule.fits_host(host) for rule in self.rules)

    def allow_port(self, host: str | Address, port: int) -> bool:
        """Say whether a host may be asked at a port."""
        return self.unrestricted or any(rule.fits_host(host) and rule.fits_port(port) for rule in self.rules)

    def allow_address(self, address: Address, port: int, host: str | Address = "") -> bool:
        """Say whether to connect to an address of a host that may be asked: it is public, or listed.

        No name brings its addresses along, or whoever owns the name could choose them; but what `localhost` means is
        no secret and nobody's choice.
        """
        if self.unrestricted or is_public(address):
            return True
        if host == LOCALHOST and address.is_loopback and any(rule.is_localhost(port) for rule in self.rules):
            return True
        return any(
            rule.network is not None and address in rule.network and rule.port in (None, port) for rule in self.rules
        )


ANY_HOST = HostRules(unrestricted=True)


def host_rules(text: str) -> HostRules:
    """Read a comma-separated list of hosts.

    Raises:
        ValueError: an entry is none; the message names it.

    >>> rules = host_rules("*.example.org, 10.0.0.0/8, files.example:8443")
    >>> [rules.allow_port("a.example.org", port) for port in (443, 8443)], rules.allow_port("files.example", 8443)
    ([True, False], True)
    """
    entries = [entry.strip() for entry in text.split(",")]
    return HostRules(tuple(_rule(entry) for entry in entries if entry))


def _rule(entry: str) -> HostRule:
    if (network := _network(entry)) is not None:
        return HostRule("", network, None)
    split = _PORT.fullmatch(entry)
    host, port = (split["host"], int(split["port"])) if split else (entry, None)
    if port is not None and not 0 < port < 65536:
        raise ValueError(f"{entry!r}: there is no such port")
    if (network := _network(host)) is not None:
        return HostRule("", network, port)
    if host == "*":
        return HostRule("*", None, port)
    try:
        name = normal_host(host.removeprefix("*."))
    except ValueError:
        name = ipaddress.IPv4Address(0)
    if not isinstance(name, str):
        raise ValueError(
            f"{entry!r} is no host; write example.org, *.example.org, example.org:8443, 10.0.0.0/8 or *, without http://"
        )
    return HostRule("*." + name if host.startswith("*.") else name, None, port)


def _network(text: str) -> Network | None:
    """Read an address or a network; IPv6 may stand in brackets, as it must before a port."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return ipaddress.ip_network(bare)
    except ValueError:
        return None
