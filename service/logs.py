"""Log lines of every process: plain text, or one JSON object a line, on standard error.

Owns the format; what is logged, and at which level, is each module's. What a call passes as `extra` becomes fields in
JSON. Any process, once at its start.
"""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType
from typing import Any, Literal

LogFormat = Literal["text", "json"]
TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
FIRST = ("timestamp", "level", "logger", "event")  # in this order, in front of other fields

logger = logging.getLogger("pheye")


def configure_logging(level: int | str, log_format: LogFormat) -> None:
    """Write log lines to standard error from now on, in this process.

    In JSON that holds for warnings of Python and for exceptions that nobody catches too.
    """
    handler = logging.StreamHandler()
    if log_format == "json":
        handler.setFormatter(_json_formatter())
        logging.captureWarnings(capture=True)
        sys.excepthook = _log_uncaught
        threading.excepthook = _log_uncaught_in_thread
    else:
        handler.setFormatter(logging.Formatter(TEXT))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def request_fields(origin: str) -> dict[str, str]:
    """Name a request in fields, from the words by which text names it: its id, and its trace if there is one.

    >>> request_fields("0af7 trace=4bf9")
    {'request_id': '0af7', 'trace_id': '4bf9'}
    """
    request_id, _, trace_id = origin.partition(" trace=")
    return {"request_id": request_id} | ({"trace_id": trace_id} if trace_id else {})


def _json_formatter() -> logging.Formatter:
    import structlog

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _in_order,
            structlog.processors.JSONRenderer(),
        ],
    )


def _in_order(_: Any, __: str, event: Any) -> dict[str, Any]:
    first: dict[str, Any] = {name: event[name] for name in FIRST if name in event}
    return {**first, **event}


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        logger.critical("%s: ended by an exception", kind.__name__, exc_info=(kind, error, trace))


def _log_uncaught_in_thread(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is not None:
        _log_uncaught(failed.exc_type, failed.exc_value, failed.exc_traceback)
