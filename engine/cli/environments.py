"""`show environments`, `show environment`, `rollback environment` and `repair environment`."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any

import typer

from engine.cli.client import Client
from engine.cli.failures import MissingValue, WrongUsage
from engine.cli.options import (
    DEFAULT_HOST,
    GroupDatabase,
    Host,
    OutputFormat,
    ShownFormat,
    TlsCa,
    TlsNoVerify,
    Token,
)
from engine.cli.output import deliver, refuse_binary_terminal
from engine.cli.packages import EVERYWHERE, SHARED, Whose, print_change, quoted, waiting
from engine.cli.query import ask

__all__ = ["repair_app", "rollback_app", "show_environment", "show_environments"]

rollback_app = typer.Typer(help="Go back to the packages that a trigger had before.")
repair_app = typer.Typer(help="Build a trigger's environment anew.")

_PATH = "/api/v3/configure/plugin_environment"
_LIST = """SELECT database, {} AS trigger_name, state, reason,
python, packages, size_bytes, lock, time{} FROM system.processing_engine_environments
WHERE {} ORDER BY database NULLS FIRST, trigger_name, time"""
_NAME_FOR_PEOPLE = "coalesce(trigger_name, '(shared)')"
_NOW_ONLY = "state NOT IN ('superseded', 'failed')"
_MIB = 1024 * 1024

_Name = Annotated[
    str | None, typer.Argument(metavar="TRIGGER_NAME", help="Not given with --shared.")
]
_Shared = Annotated[
    bool, typer.Option("--shared", help="The environment of all triggers that ask for nothing.")
]


class _Shape(StrEnum):
    """How one environment is shown."""

    pretty = "pretty"
    json = "json"


@rollback_app.callback()
def _rollback() -> None:
    """Go back to the packages that a trigger had before."""


@repair_app.callback()
def _repair() -> None:
    """Build a trigger's environment anew."""


def show_environments(
    *,
    database: GroupDatabase = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Also those before, and builds that failed.")
    ] = False,
    shape: ShownFormat = OutputFormat.pretty,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """List the environments of all triggers that ask for packages, and the shared one."""
    refuse_binary_terminal(shape, None)
    client = Client(host, token, tls_ca, tls_no_verify)
    conditions = ["true" if all_ else _NOW_ONLY]
    if database is not None:
        conditions.append(f"(database = {quoted(database)} OR database IS NULL)")
    trigger = _NAME_FOR_PEOPLE if shape is OutputFormat.pretty else "trigger_name"
    sql = _LIST.format(trigger, ", error" if all_ else "", " AND ".join(conditions))
    with ask(client, EVERYWHERE, sql, shape) as answer:
        deliver(answer, shape, None)


def show_environment(
    *,
    name: _Name = None,
    database: GroupDatabase = None,
    shared: _Shared = False,
    shape: Annotated[_Shape, typer.Option("--format", help="How it is shown.")] = _Shape.pretty,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Show the packages of a trigger, the lock they come from, and who else uses them."""
    whose = _whose(name, database, shared=shared)
    client = Client(host, token, tls_ca, tls_no_verify)
    text = client.get_text(_PATH, _names(whose))
    if shape is _Shape.json:
        print(text)
        return
    for line in _told(json.loads(text)):
        print(line)


@rollback_app.command("environment")
def rollback_environment(
    *,
    name: _Name = None,
    database: GroupDatabase = None,
    shared: _Shared = False,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="LOCK", help="One of its history; the one before if absent."),
    ] = None,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Go back to the packages that a trigger had before, and print the difference."""
    whose = _whose(name, database, shared=shared)
    client = Client(host, token, tls_ca, tls_no_verify)
    body = _names(whose) | ({} if to is None else {"lock": to})
    lock = _change(client, "rollback", "Rolling back", whose, body)
    print(f"Environment rolled back to lock {lock} successfully")


@repair_app.command("environment")
def repair_environment(
    *,
    name: _Name = None,
    database: GroupDatabase = None,
    shared: _Shared = False,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Build a trigger's environment anew from its lock, whatever has become of its folder."""
    whose = _whose(name, database, shared=shared)
    client = Client(host, token, tls_ca, tls_no_verify)
    _change(client, "repair", "Repairing", whose, _names(whose))
    print("Environment repaired successfully")


def _change(client: Client, how: str, text: str, whose: Whose, body: dict[str, str]) -> str | None:
    """Have something done, print what has changed, and return the lock that is in service."""
    with waiting(client, text, whose):
        told = client.send_json("POST", f"{_PATH}/{how}", body)
    change: dict[str, Any] = json.loads(told)
    print_change(change)
    lock: str | None = change["lock"]
    return lock


def _whose(name: str | None, database: str | None, *, shared: bool) -> Whose:
    if shared:
        if name is not None:
            raise WrongUsage("the argument '[TRIGGER_NAME]' cannot be used with '--shared'")
        return SHARED
    if name is None:
        raise MissingValue("<TRIGGER_NAME|--shared>")
    if database is None:
        raise MissingValue("--database <DATABASE_NAME>")
    return database, name


def _names(whose: Whose) -> dict[str, str]:
    return {} if whose is None else {"db": whose[0], "trigger_name": whose[1]}


def _told(found: dict[str, Any]) -> list[str]:
    """Return the lines of a description."""
    used_by = [f"{one['database']}.{one['trigger_name']}" for one in found["used_by"]]
    interpreter = f" ({found['interpreter']})" if found["interpreter"] else ""
    broken = f": {found['reason_broken']}" if found["reason_broken"] else ""
    facts = {
        "state": f"{found['state']}{broken}",
        "python": f"{found['python']}{interpreter}",
        "lock": found["lock"] or "none",
        "asked for": ", ".join(found["requirements"]) or "nothing",
        "used by": ", ".join(used_by) or "nobody",
        "size": f"{found['size_bytes'] / _MIB:.1f} MiB",
        "folder": found["path"],
    }
    lines = [f"{name + ':':<11}{value}" for name, value in facts.items()]
    if found["history"]:
        lines += ["history, newest first:"]
        lines += [f"  {h['at']}  {h['lock']}  {h['reason']}" for h in reversed(found["history"])]
    lines += [f"packages, {len(found['packages'])}:"]
    return lines + [f"  {name}=={version}" for name, version in sorted(found["packages"].items())]
