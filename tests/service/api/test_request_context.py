"""The request's context: opened once, found by its scope, and what its status is."""

from __future__ import annotations

import pytest

from service.api.request_context import EVERYBODY, RequestContext, address_of, context_of, open_context


def test_a_context_is_found_in_its_scope_and_in_copies_that_routing_makes():
    scope = {"type": "http"}
    context = open_context(scope)
    assert context_of(scope) is context
    assert context_of(scope | {"path_params": {}}) is context
    assert context.owner == EVERYBODY
    assert len(context.id) == 32
    assert context.id != open_context(scope).id


@pytest.mark.parametrize(
    ("host", "client"),
    [
        pytest.param("203.0.113.7", "203.0.113.7", id="ipv4"),
        pytest.param("::ffff:203.0.113.7", "203.0.113.7", id="ipv4-in-ipv6"),
        pytest.param("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", id="ipv6-network"),
        pytest.param("fe80::1%eth0", "fe80::/64", id="scoped-ipv6"),
        pytest.param("x" * 1000, "x" * 64, id="no-address"),
    ],
)
def test_without_a_key_a_client_is_its_address(host, client):
    assert address_of({"client": (host, 1)}) == client
    assert open_context({"type": "http", "client": (host, 1)}).client == client


def test_a_connection_without_an_address_has_the_empty_one():
    assert address_of({"client": None}) == ""
    assert open_context({"type": "http", "client": None}).address == ""


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        pytest.param("203.0.113.7", "203.0.113.7", id="ipv4"),
        pytest.param("2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6", id="ipv6"),
        pytest.param("fe80::1%e\x1b[2J", "fe80::1", id="scoped-ipv6"),
        pytest.param("x\n" * 1000, "", id="no-address"),
    ],
)
def test_people_see_the_whole_address_of_a_client_without_a_key_and_nothing_else(host, shown):
    assert open_context({"type": "http", "client": (host, 1)}).shown_client == shown


def test_of_a_client_with_a_key_people_see_its_name_if_it_has_one():
    assert RequestContext(address="203.0.113.7", owner="digest", key_name="web").shown_client == "'web'"
    assert RequestContext(address="203.0.113.7", owner="digest").shown_client == ""


def test_a_scope_that_did_not_come_through_the_middleware_has_none():
    with pytest.raises(KeyError):
        context_of({"type": "http"})


@pytest.mark.parametrize(
    ("sent", "outcome", "status"),
    [
        pytest.param(None, None, 500, id="nothing-sent"),
        pytest.param(200, None, 200, id="sent"),
        pytest.param(200, 504, 504, id="failed-in-mid-stream"),
        pytest.param(None, 499, 499, id="hung-up"),
    ],
)
def test_the_outcome_counts_more_than_the_status_line(sent, outcome, status):
    assert RequestContext(sent_status=sent, outcome=outcome).status == status
