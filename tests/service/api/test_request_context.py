"""The request's context: opened once, found by its scope, and what its status is."""

from __future__ import annotations

import pytest

from service.api.request_context import EVERYBODY, RequestContext, context_of, open_context


def test_a_context_is_found_in_its_scope_and_in_copies_that_routing_makes():
    scope = {"type": "http"}
    context = open_context(scope)
    assert context_of(scope) is context
    assert context_of(scope | {"path_params": {}}) is context
    assert context.owner == EVERYBODY
    assert len(context.id) == 32
    assert context.id != open_context(scope).id


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
