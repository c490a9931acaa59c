"""Trigger specifications: what fires a plugin, as values and as texts.

    table:<name>   all_tables   cron:<expression>   every:<duration>   request:<path>

`all-tables`, `all_tables:` and `schedule:<expression>` are read as well; what is written is always
the first form. The JSON form is the one that system tables show.
Pure; may be called from any thread.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import assert_never

from engine.errors import InvalidParameter, InvalidTriggerSpec
from engine.model.cron import CronSyntaxError, parse_cron, with_seconds
from engine.model.duration import YEAR_NS, format_duration, parse_duration_ns

__all__ = [
    "AllTablesSpec",
    "CronSpec",
    "EverySpec",
    "Kind",
    "RequestSpec",
    "TableSpec",
    "TriggerSpec",
    "kind",
    "parse_spec",
    "spec_from_json",
    "spec_json",
    "spec_text",
]

_FORMS = (
    "expect one of the following forms: 'table:<TABLE_NAME>', 'all_tables', "
    "'cron:<CRON_EXPRESSION>', 'every:<DURATION>', or 'request:<PATH>'"
)
_SECOND_NS = 1_000_000_000
_MIN_PERIOD_NS = 1_000_000


class Kind(Enum):
    """What fires a plugin; the value is the name that system tables use."""

    WAL = "wal_rows"
    SCHEDULE = "schedule"
    REQUEST = "request"


@dataclass(frozen=True, slots=True)
class AllTablesSpec:
    """Rows of every table of the trigger's database."""


@dataclass(frozen=True, slots=True)
class TableSpec:
    """Rows of one table."""

    table: str


@dataclass(frozen=True, slots=True)
class CronSpec:
    """Times of a cron expression of 6 or 7 fields, or of a shorthand as `@hourly`."""

    expression: str


@dataclass(frozen=True, slots=True)
class EverySpec:
    """Multiples of a period, 1 ms to 1 year; what is below a millisecond does not count."""

    period_ns: int


@dataclass(frozen=True, slots=True)
class RequestSpec:
    """HTTP requests to `/api/v3/engine/<path>`."""

    path: str


TriggerSpec = AllTablesSpec | TableSpec | CronSpec | EverySpec | RequestSpec


def kind(spec: TriggerSpec) -> Kind:
    """Return what fires a plugin under a specification."""
    match spec:
        case AllTablesSpec() | TableSpec():
            return Kind.WAL
        case CronSpec() | EverySpec():
            return Kind.SCHEDULE
        case RequestSpec():
            return Kind.REQUEST
        case _:
            assert_never(spec)


def parse_spec(text: str) -> TriggerSpec:
    """Read a trigger specification.

    Raises:
        InvalidTriggerSpec: `failed to parse trigger from <text>: <why>`.
    """
    text = text.strip()
    if text in {"all_tables", "all-tables", "all_tables:"}:
        return AllTablesSpec()
    form, colon, value = text.partition(":")
    value = value.strip()
    match form if colon else None:
        case "table":
            return TableSpec(_filled(text, value, "table name is empty"))
        case "request":
            return RequestSpec(_filled(text, value, "request path is empty"))
        case "cron" | "schedule":
            return _parse_cron_spec(text, value)
        case "every":
            return _parse_every(text, value)
        case _:
            raise _refused(text, _FORMS + _hint(text))


def spec_text(spec: TriggerSpec) -> str:
    """Write a specification in the form that `parse_spec` reads."""
    match spec:
        case AllTablesSpec():
            return "all_tables"
        case TableSpec(table):
            return f"table:{table}"
        case CronSpec(expression):
            return f"cron:{expression}"
        case EverySpec(period_ns):
            return f"every:{format_duration(period_ns)}"
        case RequestSpec(path):
            return f"request:{path}"
        case _:
            assert_never(spec)


def spec_json(spec: TriggerSpec) -> str:
    """Write a specification as the JSON text that system tables show and the catalog keeps."""
    return json.dumps(_jsonable(spec), ensure_ascii=False, separators=(",", ":"))


def spec_from_json(text: str) -> TriggerSpec:
    """Read what `spec_json` wrote.

    Raises:
        ValueError: the text is not such a JSON form.
    """
    match json.loads(text):
        case "all_tables_wal_write":
            return AllTablesSpec()
        case {"single_table_wal_write": {"table_name": str(table)}}:
            return TableSpec(table)
        case {"schedule": {"schedule": str(expression)}}:
            parse_cron(expression)
            return CronSpec(expression)
        case {"every": {"duration": {"secs": int(seconds), "nanos": int(nanos)}}}:
            return EverySpec(seconds * _SECOND_NS + nanos)
        case {"request_path": {"path": str(path)}}:
            return RequestSpec(path)
        case _:
            raise ValueError(f"not a trigger specification: {text[:200]}")


def _jsonable(spec: TriggerSpec) -> object:
    match spec:
        case AllTablesSpec():
            return "all_tables_wal_write"
        case TableSpec(table):
            return {"single_table_wal_write": {"table_name": table}}
        case CronSpec(expression):
            return {"schedule": {"schedule": expression}}
        case EverySpec(period_ns):
            seconds, nanos = divmod(period_ns, _SECOND_NS)
            return {"every": {"duration": {"secs": seconds, "nanos": nanos}}}
        case RequestSpec(path):
            return {"request_path": {"path": path}}
        case _:
            assert_never(spec)


def _parse_cron_spec(text: str, value: str) -> CronSpec:
    expression = with_seconds(value)
    try:
        parse_cron(expression)
    except CronSyntaxError as error:
        raise _refused(text, str(error)) from error
    return CronSpec(expression)


def _parse_every(text: str, value: str) -> EverySpec:
    try:
        period_ns = parse_duration_ns(value)
    except InvalidParameter as error:
        raise _refused(text, f"couldn't parse to duration: {error}") from error
    if period_ns > YEAR_NS:
        raise _refused(text, "don't support every schedules of over 1 year")
    if period_ns < _MIN_PERIOD_NS:
        raise _refused(text, "don't support every schedules of under 1 millisecond")
    return EverySpec(period_ns)


def _filled(text: str, value: str, complaint: str) -> str:
    if not value:
        raise _refused(text, complaint)
    return value


def _refused(text: str, context: str) -> InvalidTriggerSpec:
    return InvalidTriggerSpec(f"failed to parse trigger from {text}: {context}")


def _hint(text: str) -> str:
    form = text.partition(":")[0].lower()
    if form in {"table", "all_tables", "all-tables", "cron", "schedule", "every", "request"}:
        return f"; write '{form}' in small letters and without spaces before the colon"
    if text.startswith("/"):
        return f"; did you mean 'request:{text.lstrip('/')}'?"
    for candidate in (f"every:{text}", f"cron:{text}"):
        if ":" not in text and _is_spec(candidate):
            return f"; did you mean '{candidate}'?"
    return ""


def _is_spec(text: str) -> bool:
    try:
        parse_spec(text)
    except InvalidTriggerSpec:
        return False
    return True
