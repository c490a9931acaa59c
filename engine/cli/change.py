"""`enable trigger` and `disable trigger`."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.cli.client import Client
from engine.cli.options import DEFAULT_HOST, Database, Host, TlsCa, TlsNoVerify, Token

__all__ = ["disable_app", "enable_app"]

enable_app = typer.Typer(help="Enable a trigger.")
disable_app = typer.Typer(help="Disable a trigger.")

_PATH = "/api/v3/configure/processing_engine_trigger"
_Name = Annotated[str, typer.Argument(metavar="TRIGGER_NAME")]


@enable_app.command("trigger")
def enable_trigger(
    *,
    name: _Name,
    database: Database,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Let a trigger run; it starts with what comes from now on."""
    client = Client(host, token, tls_ca, tls_no_verify)
    _change(client, "POST", f"{_PATH}/enable", {"db": database, "trigger_name": name})
    print(f"Trigger {name} enabled successfully")


@disable_app.command("trigger")
def disable_trigger(
    *,
    name: _Name,
    database: Database,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Let a trigger rest."""
    client = Client(host, token, tls_ca, tls_no_verify)
    _change(client, "POST", f"{_PATH}/disable", {"db": database, "trigger_name": name})
    print(f"Trigger {name} disabled successfully")


def _change(client: Client, method: str, path: str, params: dict[str, str]) -> None:
    with client.send(method, path, params=params) as answer:
        answer.read()
