"""`wal`: look at the write-ahead log of a node, check it, and cut it at damage.

No server is asked: the commands read the folder. Two of them change nothing and may be used beside
a running server; the one that repairs refuses when a server holds the log.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer

from engine.cli import checks
from engine.cli.failures import CommandFailed

__all__ = ["app"]

DataDir = Annotated[
    Path,
    typer.Option(
        "--data-dir", envvar="INFLUXDB3_DB_DIR", metavar="DIR", help="Where the data is kept."
    ),
]
NodeId = Annotated[
    str | None,
    typer.Option(
        "--node-id",
        envvar="INFLUXDB3_NODE_IDENTIFIER_PREFIX",
        metavar="NODE_ID",
        callback=checks.node_id,
        help="Whose log; <hostname>-node if absent.",
    ),
]

app = typer.Typer(help="Look at the write-ahead log, and repair it.", no_args_is_help=True)


@app.command()
def inspect(data_dir: DataDir = Path("~/.influxdb3"), node_id: NodeId = None) -> None:
    """Show the segments of the log and what it says about triggers.

    `end` is the number after the last entry; times are those of the first and the last commit.
    """
    from engine.cli.wal_log import inspect_log

    inspect_log(_folder(data_dir, node_id))


@app.command()
def verify(data_dir: DataDir = Path("~/.influxdb3"), node_id: NodeId = None) -> None:
    """Read every record of the log; the status is 1 when something is damaged."""
    from engine.cli.wal_log import verify_log

    verify_log(_folder(data_dir, node_id))


@app.command()
def repair(
    data_dir: DataDir = Path("~/.influxdb3"),
    node_id: NodeId = None,
    *,
    drop_from_damage: Annotated[
        bool,
        typer.Option("--drop-from-damage", help="Give up the entries from the first damage on."),
    ] = False,
) -> None:
    """Make a damaged log one that a server opens; what is cut off is kept as `.broken`."""
    from engine.cli.wal_log import repair_log

    repair_log(_folder(data_dir, node_id), may_drop=drop_from_damage)


def _folder(data_dir: Path, node_id: str | None) -> Path:
    node = node_id or f"{socket.gethostname()[:100]}-node"
    directory = data_dir.expanduser().absolute() / node / "wal"
    if not directory.is_dir():
        raise CommandFailed(f"there is no log in {directory}; see --data-dir and --node-id")
    return directory
