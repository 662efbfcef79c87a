"""What the OpenAPI document cannot say and schemathesis must know; its command line loads this module."""

from __future__ import annotations

from urllib.parse import urlencode

import schemathesis
from schemathesis import Case, HookContext

MAX_QUERY_CHARS = 60_000  # longer ones are refused by the HTTP parser, before there is a request


@schemathesis.hook
def map_case(context: HookContext, case: Case) -> Case:
    """Query parameters go with an image as the body or with no body; with others they are refused at once."""
    in_body = case.media_type in ("application/json", "multipart/form-data")
    if in_body or len(urlencode(case.query or {}, doseq=True)) > MAX_QUERY_CHARS:
        case.query = {}
    return case
