"""`create database` and `create trigger`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.client import Client
from engine.cli.failures import CommandFailed, WrongUsage
from engine.cli.options import DEFAULT_HOST, Database, Host, TlsCa, TlsNoVerify, Token
from engine.cli.packages import requirement_texts, waiting
from engine.cli.plugin_files import upload as send_plugin
from engine.cli.trigger_options import (
    CatchUpBehavior,
    Cors,
    ErrorBehavior,
    Grant,
    LagBehavior,
    Limit,
    Requirements,
    TriggerArguments,
    TriggerSpec,
    split_arguments,
)

__all__ = ["app"]

app = typer.Typer(help="Create a database or a trigger.")

_TRIGGER_PATH = "/api/v3/configure/processing_engine_trigger"


@app.command("database")
def create_database(
    *,
    name: Annotated[str, typer.Argument(envvar="INFLUXDB3_DATABASE_NAME", metavar="DATABASE_NAME")],
    retention_period: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION", help="How long rows are kept, as 30d; for ever if absent."
        ),
    ] = None,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Create a database."""
    body = {"db": name}
    if retention_period is not None:
        body["retention_period"] = retention_period
    Client(host, token, tls_ca, tls_no_verify).send_json("POST", "/api/v3/configure/database", body)
    print(f'Database "{name}" created successfully')


@app.command("trigger")
def create_trigger(
    *,
    name: Annotated[str, typer.Argument(metavar="TRIGGER_NAME")],
    database: Database,
    trigger_spec: TriggerSpec,
    path: Annotated[
        str | None, typer.Option(metavar="PATH", help="The plugin, relative to the plugin folder.")
    ] = None,
    plugin_filename: Annotated[
        str | None, typer.Option(metavar="PATH", help="The same as --path.")
    ] = None,
    upload: Annotated[
        bool,
        typer.Option("--upload", help="The plugin is on this machine: send it to the server."),
    ] = False,
    trigger_arguments: TriggerArguments = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Create it at rest.")] = False,
    run_asynchronous: Annotated[
        bool, typer.Option("--run-asynchronous", help="Runs may overlap.")
    ] = False,
    error_behavior: ErrorBehavior = "log",
    catch_up: CatchUpBehavior = None,
    on_lag: LagBehavior = None,
    grant: Grant = [],  # noqa: B006  Typer makes a new list for each call
    limit: Limit = [],  # noqa: B006
    requirements: Requirements = [],  # noqa: B006
    cors: Cors = [],  # noqa: B006
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Create a trigger.

    When its plugin needs packages, they are had first; without them there is no trigger.
    """
    client = Client(host, token, tls_ca, tls_no_verify)
    plugin = _plugin(path, plugin_filename)
    needed = requirement_texts(requirements)
    body = {
        "db": database,
        "plugin_filename": send_plugin(client, Path(plugin)) if upload else plugin,
        "trigger_name": name,
        "trigger_settings": {
            "run_async": run_asynchronous,
            "error_behavior": error_behavior,
            **_own_settings(catch_up, on_lag, grant, limit, cors),
        },
        "trigger_specification": trigger_spec,
        "trigger_arguments": None
        if trigger_arguments is None
        else split_arguments(trigger_arguments),
        "disabled": disabled,
        **({"requirements": needed} if needed else {}),
    }
    try:
        with waiting(client, "Creating the trigger", (database, name)):
            client.send_json("POST", _TRIGGER_PATH, body)
    except CommandFailed as error:
        typer.echo(f"Failed to create trigger: {error}", err=True)
        raise
    print(f"Trigger {name} created successfully")


def _own_settings(
    catch_up: str | None, on_lag: str | None, grant: list[str], limit: list[str], cors: list[str]
) -> dict[str, object]:
    """Return what was given of the settings that InfluxDB 3 Core does not have."""
    from engine.model.limits import split_limits

    given = {
        "catch_up": catch_up,
        "on_lag": on_lag,
        "grants": grant or None,
        "limits": split_limits(limit),
        "cors": [] if cors == ["none"] else cors or None,
    }
    return {name: value for name, value in given.items() if value not in (None, {})}


def _plugin(path: str | None, plugin_filename: str | None) -> str:
    if path is not None and plugin_filename is not None:
        raise WrongUsage(
            "the argument '--path <PATH>' cannot be used with '--plugin-filename <PATH>'"
        )
    plugin = path if path is not None else plugin_filename
    if plugin is None:
        raise CommandFailed("Either --path or --plugin-filename must be provided")
    return plugin
