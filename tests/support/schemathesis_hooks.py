"""What the OpenAPI document cannot say and schemathesis must know; its command line loads this module."""

from __future__ import annotations

from typing import Any
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


@schemathesis.hook
def before_load_schema(context: HookContext, raw_schema: dict[str, Any]) -> None:
    """Tell schemathesis what one event of a stream is, in the words of OpenAPI 3.2, which it knows."""
    for item in raw_schema["paths"].values():
        for operation in item.values():
            for response in operation["responses"].values():
                stream = response.get("content", {}).get("text/event-stream")
                if stream is not None:
                    stream["itemSchema"] = stream.pop("schema")["contentSchema"]
