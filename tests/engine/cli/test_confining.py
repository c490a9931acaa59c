"""`update trigger` with grants and limits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.catalog.commands import NewTrigger, create_database, create_trigger
from engine.model.grants import Grants, parse_grants
from engine.model.limits import Limits
from engine.model.trigger import AllTablesSpec, TriggerSettings
from tests.http_services import EdgeParts

UPDATE = ("update", "trigger", "-d", "db", "-t", "t")
BEFORE = TriggerSettings(grants=Grants(self_http=True), limits=Limits(cpu=0.5))


@pytest.fixture
def trigger(parts: EdgeParts) -> Callable[[], TriggerSettings]:
    parts.catalog.update(create_database("db"))
    new = NewTrigger("db", "t", "p.py", AllTablesSpec(), BEFORE)
    parts.catalog.update(create_trigger(new, start=0, now_ns=0))
    return lambda: parts.catalog.catalog.trigger_named("db", "t").settings


@pytest.mark.parametrize(
    ("options", "grants", "limits"),
    [
        (("--grant", "env=A", "--grant", "subprocess"), ["env=A", "subprocess"], BEFORE.limits),
        (("--no-grants",), [], BEFORE.limits),
        (("--limit", "memory=1GiB"), ["net=self"], Limits(memory_bytes=2**30)),
        (("--no-limits", "--no-grants"), [], Limits()),
    ],
)
def test_grants_and_limits_are_replaced_or_cleared(
    at_server: Callable,
    trigger: Callable[[], TriggerSettings],
    options: tuple[str, ...],
    grants: list[str],
    limits: Limits,
) -> None:
    ended = at_server(*UPDATE, *options)

    assert (ended.status, ended.out) == (0, "Trigger 't' updated successfully\n")
    assert trigger() == TriggerSettings(grants=parse_grants(grants), limits=limits)


def test_plugin_and_limits_are_updated_together(
    at_server: Callable,
    parts: EdgeParts,
    trigger: Callable[[], TriggerSettings],
    tmp_path: Path,
) -> None:
    (tmp_path / "p.py").write_text("# new\n")

    ended = at_server(*UPDATE, "-p", str(tmp_path / "p.py"), "--limit", "processes=3")

    assert ended.status == 0
    assert trigger().limits == Limits(processes=3)
    assert parts.sources.seen == [("update_file", "t", "db", b"# new\n")]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ((), "error: one of --path, --grant, --no-grants, --limit, --no-limits, --requirements, "),
        (("--grant", "env=A", "--no-grants"), "error: the argument '--grant <GRANT>' cannot be"),
        (("--limit", "cpu=1", "--no-limits"), "error: the argument '--limit <NAME=VALUE>' cannot"),
        (("--grant", "net=foo"), "error: invalid value 'net=foo' for '--grant <GRANT>': grant 'ne"),
        (("--limit", "cpu=x"), "error: invalid value 'cpu=x' for '--limit <NAME=VALUE>': limit cp"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_the_server(
    bulkhead: Callable, options: tuple[str, ...], text: str
) -> None:
    ended = bulkhead(*UPDATE, *options)

    assert ended.status == 2
    assert ended.err.startswith(text)
