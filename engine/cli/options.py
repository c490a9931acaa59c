"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "DEFAULT_HOST",
    "Database",
    "GroupDatabase",
    "Host",
    "OutputFormat",
    "ShownFormat",
    "TlsCa",
    "TlsNoVerify",
    "Token",
]

DEFAULT_HOST = "http://127.0.0.1:8181"


class OutputFormat(StrEnum):
    """How rows are shown."""

    pretty = "pretty"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"


Host = Annotated[
    str,
    typer.Option(
        "--host", "-H", envvar="INFLUXDB3_HOST_URL", metavar="URL", help="Where the server listens."
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="INFLUXDB3_AUTH_TOKEN",
        metavar="TOKEN",
        help="Sent as a bearer token.",
        show_envvar=True,
    ),
]
TlsCa = Annotated[
    Path | None,
    typer.Option(
        "--tls-ca", envvar="INFLUXDB3_TLS_CA", metavar="FILE", help="Authority of the certificate."
    ),
]
TlsNoVerify = Annotated[
    bool,
    typer.Option(
        "--tls-no-verify",
        envvar="INFLUXDB3_TLS_NO_VERIFY",
        help="Do not check the server's certificate.",
    ),
]
_DATABASE = typer.Option(
    "--database",
    "-d",
    envvar="INFLUXDB3_DATABASE_NAME",
    metavar="DATABASE_NAME",
    help="The database.",
)
Database = Annotated[str, _DATABASE]
# For groups, whose own help must work without one.
GroupDatabase = Annotated[str | None, _DATABASE]
ShownFormat = Annotated[OutputFormat, typer.Option("--format", help="How rows are shown.")]
