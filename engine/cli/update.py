"""`update database` and `update trigger`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.client import Client
from engine.cli.failures import CommandFailed
from engine.cli.options import DEFAULT_HOST, Database, Host, TlsCa, TlsNoVerify, Token
from engine.cli.plugin_files import python_files, read_text

__all__ = ["app"]

app = typer.Typer(help="Update a database or a trigger.")


@app.command("database")
def update_database(
    *,
    database: Database,
    retention_period: Annotated[
        str | None,
        typer.Option(
            "--retention-period",
            "-r",
            metavar="DURATION",
            help="How long rows are kept, as 30d; 'none' for ever.",
        ),
    ] = None,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Change how long a database keeps its rows."""
    client = Client(host, token, tls_ca, tls_no_verify)
    if retention_period is None:
        raise CommandFailed("--retention-period is required for update database")
    body: dict[str, str] = {"db": database}
    if retention_period.lower() != "none":
        body["retention_period"] = retention_period
    client.send_json("PUT", "/api/v3/configure/database", body)
    print(f'Database "{database}" updated successfully')


@app.command("trigger")
def update_trigger(
    *,
    database: Database,
    trigger_name: Annotated[
        str, typer.Option("--trigger-name", "-t", metavar="TRIGGER_NAME", help="The trigger.")
    ],
    path: Annotated[
        Path,
        typer.Option("--path", "-p", metavar="PATH", help="The new plugin on this machine."),
    ],
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Replace the plugin of a trigger by a file or folder of this machine.

    A folder replaces the whole folder, in one step.
    """
    client = Client(host, token, tls_ca, tls_no_verify)
    body: dict[str, object] = {"plugin_name": trigger_name, "db": database}
    if not path.exists():
        raise CommandFailed(f"Path does not exist: {path}")
    if path.is_dir():
        files = python_files(path)
        body["files"] = [{"relative_path": name, "content": files[name]} for name in files]
        client.send_json("PUT", "/api/v3/plugins/directory", body)
        print(f"Trigger '{trigger_name}' updated successfully (atomic directory replacement)")
    else:
        client.send_json("PUT", "/api/v3/plugins/files", {**body, "content": read_text(path)})
        print(f"Trigger '{trigger_name}' updated successfully")
