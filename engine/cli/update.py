"""`update database` and `update trigger`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.client import Client
from engine.cli.failures import CommandFailed, WrongUsage
from engine.cli.options import DEFAULT_HOST, Database, Host, TlsCa, TlsNoVerify, Token
from engine.cli.packages import print_change, requirement_texts, waiting
from engine.cli.plugin_files import plugin_files, read_text
from engine.cli.trigger_options import Grant, Limit, Requirements

__all__ = ["app"]

app = typer.Typer(help="Update a database or a trigger.")

_TRIGGER_PATH = "/api/v3/configure/processing_engine_trigger"


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
        Path | None,
        typer.Option("--path", "-p", metavar="PATH", help="The new plugin on this machine."),
    ] = None,
    grant: Grant = [],  # noqa: B006  Typer makes a new list for each call
    no_grants: Annotated[
        bool, typer.Option("--no-grants", help="Take all grants of the trigger away.")
    ] = False,
    limit: Limit = [],  # noqa: B006
    no_limits: Annotated[
        bool, typer.Option("--no-limits", help="Have the server's limits count.")
    ] = False,
    requirements: Requirements = [],  # noqa: B006
    no_requirements: Annotated[
        bool,
        typer.Option("--no-requirements", help="Leave the packages to what the plugin says."),
    ] = False,
    upgrade: Annotated[
        bool, typer.Option("--upgrade", help="Take the newest packages that fit.")
    ] = False,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Replace a trigger's plugin by one of this machine, or change its grants, limits, packages.

    What is given replaces all of its kind that the trigger has. A folder replaces the whole
    folder, in one step.
    """
    client = Client(host, token, tls_ca, tls_no_verify)
    settings = _confines(grant, limit, no_grants=no_grants, no_limits=no_limits)
    packages = _packages(requirements, no_requirements=no_requirements, upgrade=upgrade)
    if path is None and not settings and not packages:
        raise WrongUsage(
            "one of --path, --grant, --no-grants, --limit, --no-limits, --requirements, "
            "--no-requirements and --upgrade must be given"
        )
    if path is not None and not path.exists():
        raise CommandFailed(f"Path does not exist: {path}")
    names = {"db": database, "trigger_name": trigger_name}
    # What may fail comes first: the rest is not done then.
    if packages:
        with waiting(client, "Changing the packages", (database, trigger_name)):
            told = client.send_json("PUT", _TRIGGER_PATH, {**names, **packages})
        print_change(json.loads(told)["environment"])
    if settings:
        client.send_json("PUT", _TRIGGER_PATH, {**names, "trigger_settings": settings})
    is_folder = path is not None and _send(client, path, database, trigger_name)
    how = " (atomic directory replacement)" if is_folder else ""
    print(f"Trigger '{trigger_name}' updated successfully{how}")


def _confines(
    grant: list[str], limit: list[str], *, no_grants: bool, no_limits: bool
) -> dict[str, object]:
    """Return what is to be changed of grants and limits."""
    from engine.model.limits import split_limits

    if grant and no_grants:
        raise WrongUsage("the argument '--grant <GRANT>' cannot be used with '--no-grants'")
    if limit and no_limits:
        raise WrongUsage("the argument '--limit <NAME=VALUE>' cannot be used with '--no-limits'")
    settings: dict[str, object] = {}
    if grant or no_grants:
        settings["grants"] = grant
    if limit or no_limits:
        settings["limits"] = split_limits(limit)
    return settings


def _packages(given: list[str], *, no_requirements: bool, upgrade: bool) -> dict[str, object]:
    """Return what is to be changed of the packages."""
    if given and no_requirements:
        raise WrongUsage(
            "the argument '--requirements <FILE|SPEC>' cannot be used with '--no-requirements'"
        )
    packages: dict[str, object] = {"upgrade": True} if upgrade else {}
    if given or no_requirements:
        packages["requirements"] = requirement_texts(given)
    return packages


def _send(client: Client, path: Path, database: str, trigger_name: str) -> bool:
    """Send a plugin to the server; return whether it is a folder."""
    body: dict[str, object] = {"plugin_name": trigger_name, "db": database}
    if not path.is_dir():
        client.send_json("PUT", "/api/v3/plugins/files", {**body, "content": read_text(path)})
        return False
    files = plugin_files(path)
    body["files"] = [{"relative_path": name, "content": files[name]} for name in files]
    client.send_json("PUT", "/api/v3/plugins/directory", body)
    return True
