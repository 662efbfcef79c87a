"""The list of hosts that images are fetched from: its notation, and which addresses are public."""

from __future__ import annotations

import ipaddress

import pytest

from service.configuration.image_hosts import ANY_HOST, HostRules, host_rules, is_public, normal_host
from service.configuration.settings import Settings, SettingsError, load_settings

PUBLIC = ("1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001:80b::200e")
PRIVATE = {
    "unspecified": "0.0.0.0", "this network": "0.1.2.3", "loopback": "127.0.0.1", "all of loopback": "127.9.9.9",
    "10": "10.0.0.1", "172": "172.16.0.1", "192": "192.168.1.1", "link-local": "169.254.169.254", "CGNAT": "100.64.0.1",
    "Alibaba's metadata": "100.100.100.200", "protocols": "192.0.0.1", "anycast of protocols": "192.0.0.9",
    "documentation": "192.0.2.1", "benchmarks": "198.18.0.1", "6to4 relays": "192.88.99.1", "multicast": "224.0.0.1",
    "SSDP": "239.255.255.250", "reserved": "240.0.0.1", "broadcast": "255.255.255.255",
    "Azure's agent": "168.63.129.16",
    "IPv6 unspecified": "::", "IPv6 loopback": "::1", "mapped loopback": "::ffff:127.0.0.1",
    "mapped public": "::ffff:8.8.8.8", "compatible": "::127.0.0.1", "NAT64": "64:ff9b::7f00:1",
    "NAT64 of a public one": "64:ff9b::808:808", "local NAT64": "64:ff9b:1::a00:1", "discard": "100::1",
    "Teredo": "2001:0:4136:e378:8000:63bf:3fff:fdd2", "ORCHID": "2001:20::1", "IPv6 documentation": "2001:db8::1",
    "new documentation": "3fff::1", "6to4": "2002:7f00:1::", "6to4 of a public one": "2002:808:808::1",
    "unique local": "fd00:ec2::254", "IPv6 link-local": "fe80::1", "site-local": "fec0::1", "IPv6 multicast": "ff02::1",
    "segment routing": "5f00::1", "IPv4-translated": "::ffff:0:7f00:1",
}  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_is_public(address):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PRIVATE.values(), ids=PRIVATE.keys())
def test_an_address_that_leads_elsewhere_is_not_public(address):
    assert not is_public(ipaddress.ip_address(address))
    assert not host_rules("*").allow_host(ipaddress.ip_address(address))
    assert not host_rules("*").allow_address(ipaddress.ip_address(address), 443)


@pytest.mark.parametrize(
    ("host", "normal"),
    [
        pytest.param("Example.ORG", "example.org", id="case"),
        pytest.param("example.org.", "example.org", id="trailing-dot"),
        pytest.param("bücher.example", "xn--bcher-kva.example", id="idna"),
        pytest.param("a_b.example", "a_b.example", id="underscore"),
        pytest.param("192.0.2.1", ipaddress.ip_address("192.0.2.1"), id="ipv4"),
        pytest.param("[::1]", ipaddress.ip_address("::1"), id="ipv6"),
        pytest.param("[::FFFF:127.0.0.1]", ipaddress.ip_address("::ffff:127.0.0.1"), id="mapped"),
    ],
)
def test_a_host_has_one_form(host, normal):
    assert normal_host(host) == normal


@pytest.mark.parametrize(
    "host",
    ["", ".", "a..b", "example.org..", "-a.example", "a b", "a%2eb", "a/b", "a\\b", "a\x00b", "x" * 64 + ".example",
     ".".join(["abcdefgh"] * 30), "127.1", "0x7f.1", "0x7f000001", "2130706433", "0177.0.0.1", "256.0.0.1", "1.2.3.4.5",
     "a.0x", "[::1", "[::1%eth0]", "[127.0.0.1]", "[example.org]",
     "\uff11\uff12\uff17.0.0.1", "\u24d4xample.org", "ex\u00adample..org"],
)  # fmt: skip
def test_what_is_no_host_is_none(host):
    with pytest.raises(ValueError, match=r"host|address"):
        normal_host(host)


RULES = host_rules("example.org, *.cdn.example, files.example:8443, 10.1.0.0/16, [fd00::/8]:9000, 192.168.0.5:8080")


@pytest.mark.parametrize(
    ("host", "port", "allowed"),
    [
        ("example.org", 443, True), ("example.org", 80, True), ("example.org", 8080, False), ("example.org", 22, False),
        ("www.example.org", 443, False), ("example.org.evil.example", 443, False), ("xexample.org", 443, False),
        ("a.cdn.example", 443, True), ("a.b.cdn.example", 443, True), ("cdn.example", 443, False),
        ("xcdn.example", 443, False), ("files.example", 8443, True), ("files.example", 443, False),
        ("10.1.2.3", 80, True), ("10.1.2.3", 8080, False), ("10.2.0.1", 80, False), ("[fd00::1]", 9000, True),
        ("[fd00::1]", 443, False), ("192.168.0.5", 8080, True), ("192.168.0.5", 80, False), ("1.1.1.1", 443, False),
        ("[::ffff:10.1.2.3]", 80, False),
    ],
)  # fmt: skip
def test_a_list_allows_hosts_at_ports(host, port, allowed):
    assert RULES.allow_port(normal_host(host), port) is allowed


@pytest.mark.parametrize(
    ("address", "port", "allowed"),
    [("1.1.1.1", 8443, True), ("10.1.0.1", 8443, True), ("10.2.0.1", 443, False), ("fd00::1", 9000, True),
     ("fd00::1", 443, False), ("127.0.0.1", 443, False)],
)  # fmt: skip
def test_a_name_may_lead_to_public_addresses_and_to_those_listed(address, port, allowed):
    assert RULES.allow_address(ipaddress.ip_address(address), port) is allowed


def test_a_star_means_any_name_and_any_public_address_at_the_ports_of_the_web():
    rules = host_rules("*")
    assert rules.allow_port("anything.example", 443)
    assert rules.allow_port(ipaddress.ip_address("1.1.1.1"), 80)
    assert not rules.allow_port("anything.example", 8443)
    assert host_rules("*:8443").allow_port("anything.example", 8443)


@pytest.mark.parametrize(
    ("host", "address", "port", "allowed"),
    [("localhost", "127.0.0.1", 8472, True), ("localhost", "::1", 8472, True), ("localhost", "127.0.0.1", 80, False),
     ("localhost", "10.0.0.1", 8472, False), ("files.example", "127.0.0.1", 8472, False),
     ("sub.localhost", "127.0.0.1", 8472, False)],
)  # fmt: skip
def test_localhost_in_the_list_means_this_machine_and_no_other_name_does(host, address, port, allowed):
    rules = host_rules("localhost:8472, files.example:8472, *.localhost:8472")
    assert rules.allow_address(ipaddress.ip_address(address), port, host) is allowed
    assert not host_rules("*:8472").allow_address(ipaddress.ip_address(address), port, host)


def test_names_in_the_list_are_compared_in_their_one_form():
    assert host_rules("Bücher.Example.").allow_port("xn--bcher-kva.example", 443)


def test_an_empty_list_allows_nothing_and_the_user_of_a_command_everything():
    assert not host_rules(" , ")
    assert not HostRules().allow_address(ipaddress.ip_address("127.0.0.1"), 80)
    assert ANY_HOST.allow_port(ipaddress.ip_address("127.0.0.1"), 5000)
    assert ANY_HOST.allow_address(ipaddress.ip_address("127.0.0.1"), 5000)


@pytest.mark.parametrize(
    "entry",
    ["https://example.org", "example.org/images", "example.org:0", "example.org:70000", "example.org:", "a..b", "*.*",
     "**", "*example.org", "10.0.0.1/8", "user@example.org", "127.1", "*.10.0.0.1", "[::1]:x"],
)  # fmt: skip
def test_an_entry_that_is_no_host_is_refused_at_the_start_by_name(entry):
    with pytest.raises(SettingsError, match="PHEYE_IMAGE_HOSTS: ") as refused:
        load_settings(image_hosts=f"example.org,{entry}")
    assert repr(entry) in str(refused.value)


def test_without_a_setting_nothing_is_fetched():
    assert not host_rules(Settings().image_hosts)
