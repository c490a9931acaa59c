"""`show` and what can be shown; the environments have a file of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from engine.cli import environments
from engine.cli.client import Client
from engine.cli.failures import CommandFailed, MissingValue
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
from engine.cli.packages import quoted
from engine.cli.query import ask

__all__ = ["app"]

app = typer.Typer(
    help="Show databases, retention periods, plugins, environments, the sandbox and system tables."
)
system_app = typer.Typer(help="Show the system tables of a database.")
app.add_typer(system_app, name="system")
app.command("environments")(environments.show_environments)
app.command("environment")(environments.show_environment)

_TABLE_LIST = """SELECT table_name, array_agg(column_name ORDER BY ordinal_position) AS column_names
FROM information_schema.columns WHERE table_schema = 'system'
GROUP BY table_name ORDER BY table_name"""
_TABLE_NAMES = """SELECT table_name FROM information_schema.tables
WHERE table_schema = 'system' ORDER BY table_name"""
_DEFAULT_ORDER = {
    "last_caches": "count",
    "distinct_caches": "max_cardinality",
    "parquet_files": "size_bytes",
    "queries": "end2end_duration",
}
_RETENTION = """SELECT database_name, CASE
WHEN ns IS NULL THEN 'infinite'
WHEN ns % 86400000000000 = 0 THEN concat(ns / 86400000000000, 'd')
WHEN ns % 3600000000000 = 0 THEN concat(ns / 3600000000000, 'h')
WHEN ns % 60000000000 = 0 THEN concat(ns / 60000000000, 'm')
ELSE concat(ns / 1000000000, 's') END AS retention_period
FROM (SELECT database_name, CAST(retention_period_ns AS BIGINT) AS ns
FROM system.databases WHERE NOT deleted{})
ORDER BY database_name"""
_SANDBOX_LEVEL = "SELECT DISTINCT mode, level FROM system.processing_engine_sandbox"
_SANDBOX = """SELECT promise AS "a plugin",
CASE WHEN enforced THEN 'yes' ELSE 'NO' END AS enforced,
CASE WHEN enforced THEN enforced_by ELSE why_not END AS "by, or why not"
FROM system.processing_engine_sandbox"""
_Limit = Annotated[int, typer.Option("--limit", "-l", min=0, help="Rows at most; 0 for all.")]


@app.command("databases")
def show_databases(
    *,
    show_deleted: Annotated[
        bool, typer.Option("--show-deleted", help="With a column that tells deleted ones.")
    ] = False,
    shape: ShownFormat = OutputFormat.pretty,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """List the databases."""
    refuse_binary_terminal(shape, None)
    client = Client(host, token, tls_ca, tls_no_verify)
    params = {"format": shape.value, "show_deleted": "true" if show_deleted else "false"}
    with client.send("GET", "/api/v3/configure/database", params=params) as answer:
        deliver(answer, shape, None)


@app.command("retention")
def show_retention(
    *,
    database: GroupDatabase = None,
    shape: ShownFormat = OutputFormat.pretty,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Show how long databases keep their rows."""
    client = Client(host, token, tls_ca, tls_no_verify)
    only = f" AND database_name = {quoted(database)}" if database is not None else ""
    _show(client, "_internal", _RETENTION.format(only), shape)


@app.command("plugins")
def show_plugins(
    *,
    shape: ShownFormat = OutputFormat.pretty,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """List the files behind all triggers."""
    client = Client(host, token, tls_ca, tls_no_verify)
    _show(client, "_internal", "SELECT * FROM system.plugin_files", shape)


@app.command("sandbox")
def show_sandbox(
    *,
    shape: ShownFormat = OutputFormat.pretty,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Show what is enforced on plugins, promise by promise, and why the rest is not."""
    client = Client(host, token, tls_ca, tls_no_verify)
    if shape is OutputFormat.pretty:
        with ask(client, "_internal", _SANDBOX_LEVEL, OutputFormat.json) as answer:
            [row] = json.load(answer)
        print(f"sandbox: {row['mode']}, level {row['level']}")
    _show(client, "_internal", _SANDBOX, shape)


@system_app.callback()
def system(
    *,
    context: typer.Context,
    database: GroupDatabase = None,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Show the system tables of a database."""
    context.obj = (Client(host, token, tls_ca, tls_no_verify), database)


@system_app.command("table-list")
def table_list(context: typer.Context, shape: ShownFormat = OutputFormat.pretty) -> None:
    """List the system tables and their columns."""
    client, database = _where(context)
    _show(client, database, _TABLE_LIST, shape)


@system_app.command("table")
def table(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="SYSTEM_TABLE")],
    limit: _Limit = 100,
    order_by: Annotated[
        str | None, typer.Option("--order-by", "-o", metavar="COLUMN,..", help="Sort by these.")
    ] = None,
    select: Annotated[
        str | None, typer.Option("--select", "-s", metavar="COLUMN,..", help="Show only these.")
    ] = None,
    shape: ShownFormat = OutputFormat.pretty,
) -> None:
    """Show the rows of a system table."""
    client, database = _where(context)
    names = _table_names(client, database)
    if name not in names:
        raise CommandFailed(
            f"system table '{name}' not found: please use a valid system table name: "
            f"{json.dumps(names)}"
        )
    _show(client, database, _rows_sql(name, select, order_by, limit), shape)


@system_app.command("summary")
def summary(
    context: typer.Context, limit: _Limit = 10, shape: ShownFormat = OutputFormat.pretty
) -> None:
    """Show the first rows of every system table."""
    client, database = _where(context)
    for name in _table_names(client, database):
        print(f"{name} summary:")
        _show(client, database, _rows_sql(name, None, None, limit), shape)


def _where(context: typer.Context) -> tuple[Client, str]:
    client, database = context.obj
    if database is None:
        raise MissingValue("--database <DATABASE_NAME>")
    return client, database


def _table_names(client: Client, database: str) -> list[str]:
    with ask(client, database, _TABLE_NAMES, OutputFormat.json) as answer:
        return [row["table_name"] for row in json.load(answer)]


def _rows_sql(name: str, select: str | None, order_by: str | None, limit: int) -> str:
    sql = f'SELECT {select or "*"} FROM system."{name}"'  # noqa: S608  the user's own query
    order = order_by or _DEFAULT_ORDER.get(name)
    if order:
        sql += f" ORDER BY {order}"
    return f"{sql} LIMIT {limit}" if limit else sql


def _show(client: Client, database: str, sql: str, shape: OutputFormat) -> None:
    no_file: Path | None = None
    refuse_binary_terminal(shape, no_file)
    with ask(client, database, sql, shape) as answer:
        deliver(answer, shape, no_file)
