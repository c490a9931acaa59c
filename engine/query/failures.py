"""DataFusion's exceptions as ours: who is to blame, and the text without wrapping.

DataFusion raises `ValueError` and bare `Exception`; which of the two says little, so the caller
tells at which step it was raised, and the text tells the rest.

Pure; may be called from any thread.
"""

from __future__ import annotations

import re

from engine.errors import (
    EngineError,
    QueryExecutionFailed,
    QueryRejected,
    QueryTooLarge,
    QueryUnsupported,
)
from engine.query.rewrite import missing_value

__all__ = ["planning_failure", "running_failure"]

_PREFIX = "DataFusion error: "
_NOT_IMPLEMENTED = "This feature is not implemented: "
_NO_MEMORY = "Resources exhausted"
_CAUSE = "caused by\n"
_NO_VALUE = re.compile(r"Placeholder '(\$\w+)' was not provided a value for execution")


def planning_failure(error: Exception) -> EngineError:
    """Return what to raise for an error of parsing or planning."""
    text = _text(error)
    if _NO_MEMORY in text:
        return _too_large(text)
    root = text.rsplit(_CAUSE, 1)[-1]
    if root.startswith(_NOT_IMPLEMENTED):
        return QueryUnsupported(root)
    if missing := _NO_VALUE.search(text):
        return QueryRejected(missing_value(missing[1]))
    return QueryRejected(text)


def running_failure(error: Exception) -> EngineError:
    """Return what to raise for an error of a query that was planned."""
    text = _text(error)
    if _NO_MEMORY in text:
        return _too_large(text)
    if missing := _NO_VALUE.search(text):
        return QueryRejected(missing_value(missing[1]))
    return QueryExecutionFailed(text)


def _text(error: Exception) -> str:
    return str(error).removeprefix(_PREFIX)


def _too_large(text: str) -> QueryTooLarge:
    return QueryTooLarge(
        "the query needs more memory than it may use; ask for a shorter time range, or group and "
        f"join fewer rows ({text.splitlines()[0]})"
    )
