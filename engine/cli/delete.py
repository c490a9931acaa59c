"""`delete database`, `delete table` and `delete trigger`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from engine.cli.client import Client
from engine.cli.failures import BadValue, CommandFailed
from engine.cli.options import DEFAULT_HOST, Database, Host, TlsCa, TlsNoVerify, Token

__all__ = ["app"]

app = typer.Typer(help="Delete a database, a table or a trigger.")

_CONFIGURE = "/api/v3/configure"


def _removal(text: str | None) -> str | None:
    from engine.catalog.deletion import NOW, parse_hard_delete
    from engine.errors import InvalidParameter

    try:
        if text is not None:
            parse_hard_delete(text, NOW)
    except InvalidParameter as error:
        raise BadValue(str(text), "--hard-delete <WHEN>", str(error)) from error
    return text


_HardDelete = Annotated[
    str | None,
    typer.Option(
        "--hard-delete",
        metavar="WHEN",
        callback=_removal,
        help="When the rows are removed: never, now, default, or a time as "
        "2030-01-31T00:00:00Z; default if absent.",
    ),
]
_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command("database")
def delete_database(
    *,
    name: Annotated[str, typer.Argument(envvar="INFLUXDB3_DATABASE_NAME", metavar="DATABASE_NAME")],
    hard_delete: _HardDelete = None,
    yes: _Yes = False,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Delete a database, its tables and triggers."""
    client = Client(host, token, tls_ca, tls_no_verify)
    _confirm(name, yes=yes)
    _delete(client, f"{_CONFIGURE}/database", {"db": name, **_when(hard_delete)})
    print(f'Database "{name}" deleted successfully')


@app.command("table")
def delete_table(
    *,
    name: Annotated[str, typer.Argument(metavar="TABLE_NAME")],
    database: Database,
    hard_delete: _HardDelete = None,
    yes: _Yes = False,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Delete a table."""
    client = Client(host, token, tls_ca, tls_no_verify)
    _confirm(name, yes=yes)
    params = {"db": database, "table": name, **_when(hard_delete)}
    _delete(client, f"{_CONFIGURE}/table", params)
    print(f'Table "{database}"."{name}" deleted successfully')


@app.command("trigger")
def delete_trigger(
    *,
    name: Annotated[str, typer.Argument(metavar="TRIGGER_NAME")],
    database: Database,
    force: Annotated[
        bool, typer.Option("--force", help="Delete it even when it is enabled.")
    ] = False,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Delete a trigger."""
    client = Client(host, token, tls_ca, tls_no_verify)
    params = {"db": database, "trigger_name": name, "force": "true" if force else "false"}
    _delete(client, f"{_CONFIGURE}/processing_engine_trigger", params)
    print(f"Trigger {name} deleted successfully")


def _confirm(name: str, *, yes: bool) -> None:
    """Ask on the terminal, or whoever writes to standard input.

    Raises:
        CommandFailed: the answer is neither `yes` nor `y`.
    """
    if yes:
        return
    question = f"Are you sure you want to delete \"{name}\"? Enter 'yes' or 'y' to confirm"
    print(question, file=sys.stderr, flush=True)
    answer = "" if sys.stdin is None else sys.stdin.readline()
    if answer.strip().lower() not in {"yes", "y"}:
        raise CommandFailed("Cannot proceed without confirmation")


def _when(hard_delete: str | None) -> dict[str, str]:
    return {} if hard_delete is None else {"hard_delete_at": hard_delete}


def _delete(client: Client, path: str, params: dict[str, str]) -> None:
    with client.send("DELETE", path, params=params) as answer:
        answer.read()
