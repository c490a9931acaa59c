"""`install package`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.client import Client
from engine.cli.failures import MissingValue
from engine.cli.options import DEFAULT_HOST, Host, TlsCa, TlsNoVerify, Token
from engine.cli.packages import SHARED, print_change, waiting

__all__ = ["app"]

app = typer.Typer(help="Install packages for plugins.")

_PATH = "/api/v3/configure/plugin_environment"
_UNUSED = "Of no effect: the server decides."


@app.callback()
def _group() -> None:
    """Install packages for plugins."""


@app.command("package")
def install_package(
    *,
    packages: Annotated[
        list[str] | None, typer.Argument(metavar="PACKAGES", help="As pandas or 'pandas>=2'.")
    ] = None,
    requirements: Annotated[
        str | None,
        typer.Option(
            "--requirements",
            "-r",
            metavar="FILE",
            help="Install what this file lists; the server opens it.",
        ),
    ] = None,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
    plugin_dir: Annotated[  # noqa: ARG001  scripts for InfluxDB 3 give it
        Path | None, typer.Option(metavar="DIR", help=_UNUSED)
    ] = None,
    virtual_env_location: Annotated[  # noqa: ARG001  the same
        Path | None, typer.Option(metavar="PATH", help=_UNUSED)
    ] = None,
    package_manager: Annotated[  # noqa: ARG001  the same
        str | None, typer.Option(metavar="MANAGER", help=_UNUSED)
    ] = None,
    plugin_repo: Annotated[  # noqa: ARG001  the same
        str | None, typer.Option(metavar="URL", help=_UNUSED)
    ] = None,
    restrict_plugin_triggers_to: Annotated[  # noqa: ARG001  the same
        str | None, typer.Option(metavar="KINDS", help=_UNUSED)
    ] = None,
) -> None:
    """Install packages into the environment of all triggers that ask for none themselves.

    Running plugins get them with their next event.
    """
    if requirements is None and not packages:
        raise MissingValue("<PACKAGES>")
    client = Client(host, token, tls_ca, tls_no_verify)
    if requirements is not None:
        _install(client, "install_requirements", {"requirements_location": requirements})
    if packages:
        _install(client, "install_packages", {"packages": packages})


def _install(client: Client, how: str, body: object) -> None:
    with waiting(client, "Installing packages", SHARED):
        told = client.send_json("POST", f"{_PATH}/{how}", body)
    print_change(json.loads(told))
