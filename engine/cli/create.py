"""`create database` and `create trigger`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli import checks
from engine.cli.client import Client
from engine.cli.failures import BadValue, CommandFailed, WrongUsage
from engine.cli.options import DEFAULT_HOST, Database, Host, TlsCa, TlsNoVerify, Token
from engine.cli.pairs import key_values
from engine.cli.plugin_files import upload as send_plugin

__all__ = ["app"]

app = typer.Typer(help="Create a database or a trigger.")

_TRIGGER_PATH = "/api/v3/configure/processing_engine_trigger"


def _spec(text: str) -> str:
    """Check a trigger specification and return its canonical form."""
    from engine.errors import InvalidTriggerSpec
    from engine.model.spec import parse_spec, spec_text

    try:
        return spec_text(parse_spec(text))
    except InvalidTriggerSpec as error:
        raise BadValue(text, "--trigger-spec <TRIGGER_SPECIFICATION>", str(error)) from error


def _error_behavior(text: str) -> str:
    known = ("log", "retry", "disable")
    if text.lower() not in known:
        option = "--error-behavior <ERROR_BEHAVIOR>"
        raise BadValue(text, option, f"possible values: {', '.join(known)}")
    return text.lower()


def _catch_up(text: str | None) -> str | None:
    from engine.errors import InvalidParameter
    from engine.model.catch_up import parse_catch_up

    try:
        return None if text is None else parse_catch_up(text).value
    except InvalidParameter as error:
        raise BadValue(str(text), "--catch-up <CATCH_UP>", str(error)) from error


def _on_lag(text: str | None) -> str | None:
    from engine.errors import InvalidParameter
    from engine.model.lag import parse_on_lag

    try:
        return None if text is None else parse_on_lag(text).value
    except InvalidParameter as error:
        raise BadValue(str(text), "--on-lag <ON_LAG>", str(error)) from error


def _origins(texts: list[str]) -> list[str]:
    from engine.errors import InvalidParameter
    from engine.model.trigger import parse_origins

    if texts == ["none"]:
        return texts
    try:
        return list(parse_origins(texts))
    except InvalidParameter as error:
        raise BadValue(" ".join(texts), "--cors <ORIGIN>", str(error)) from error


def _arguments(text: str | None) -> str | None:
    if text is not None:
        _split_arguments(text)
    return text


def _split_arguments(text: str) -> dict[str, str]:
    return key_values(text, "--trigger-arguments <TRIGGER_ARGUMENTS>")


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
    trigger_spec: Annotated[
        str,
        typer.Option(
            metavar="TRIGGER_SPECIFICATION",
            callback=_spec,
            help="What fires the plugin: table:<TABLE>, all_tables, cron:<EXPRESSION>, "
            "every:<DURATION> or request:<PATH>.",
        ),
    ],
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
    trigger_arguments: Annotated[
        str | None,
        typer.Option(
            metavar="KEY=VALUE,..", callback=_arguments, help="What the plugin gets as args."
        ),
    ] = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Create it at rest.")] = False,
    run_asynchronous: Annotated[
        bool, typer.Option("--run-asynchronous", help="Runs may overlap.")
    ] = False,
    error_behavior: Annotated[
        str,
        typer.Option(
            metavar="ERROR_BEHAVIOR",
            callback=_error_behavior,
            help="After a failed run: log, retry or disable.",
        ),
    ] = "log",
    catch_up: Annotated[
        str | None,
        typer.Option(
            metavar="CATCH_UP",
            callback=_catch_up,
            help="Which missed ticks of a schedule are run: skip, one or all; one if absent.",
        ),
    ] = None,
    on_lag: Annotated[
        str | None,
        typer.Option(
            metavar="ON_LAG",
            callback=_on_lag,
            help="When rows come faster than the plugin takes them: keep, newest or merge; "
            "keep if absent.",
        ),
    ] = None,
    grant: Annotated[
        list[str],
        typer.Option(
            metavar="GRANT",
            callback=checks.grants("--grant"),
            help="What the plugin may reach: net=HOST:PORT, net=self, read=PATH, write=PATH, "
            "env=NAME or subprocess; may be repeated.",
        ),
    ] = [],  # noqa: B006  Typer makes a new list for each call
    limit: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=VALUE",
            callback=checks.limits("--limit"),
            help="What the plugin may use, as memory=1GiB or time=30s; may be repeated.",
        ),
    ] = [],  # noqa: B006
    cors: Annotated[
        list[str],
        typer.Option(
            metavar="ORIGIN",
            callback=_origins,
            help="Whose pages may read a request plugin's answers; may be repeated; "
            "'none' for none, any if absent.",
        ),
    ] = [],  # noqa: B006
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Create a trigger."""
    client = Client(host, token, tls_ca, tls_no_verify)
    plugin = _plugin(path, plugin_filename)
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
        else _split_arguments(trigger_arguments),
        "disabled": disabled,
    }
    try:
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
