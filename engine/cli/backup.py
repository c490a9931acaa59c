"""`backup` of a running server, and `restore` for one that is not."""

from __future__ import annotations

import http.client
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli import checks
from engine.cli.client import Client
from engine.cli.failures import CommandFailed
from engine.cli.options import DEFAULT_HOST, Host, TlsCa, TlsNoVerify, Token

if TYPE_CHECKING:
    from engine.upkeep.restore import Restored

__all__ = ["backup", "restore"]

_MIB = 1024 * 1024
_REPORT_EVERY_S = 1.0


def backup(
    *,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Made if need be; must be empty.")],
    with_plugins: Annotated[
        bool,
        typer.Option(
            "--with-plugins/--without-plugins", help="Whether the plugin folder belongs to it."
        ),
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    host: Host = DEFAULT_HOST,
    token: Token = None,
    tls_ca: TlsCa = None,
    tls_no_verify: TlsNoVerify = False,
) -> None:
    """Back up a running server into a folder of this machine.

    The backup shows one moment; the server goes on meanwhile. It is checked while it is received.
    """
    from engine.upkeep.manifest import DamagedBackup
    from engine.upkeep.receive import receive

    client = Client(host, token, tls_ca, tls_no_verify)
    _make_empty(folder)
    params = {"plugins": "true" if with_plugins else "false"}
    with client.send("GET", "/api/v3/backup", params=params) as answer:
        progress = _Progress("received", int(answer.headers["content-length"]), quiet=quiet)
        try:
            manifest = receive(answer, folder, progress.note)
        except (DamagedBackup, OSError, http.client.HTTPException) as error:
            raise CommandFailed(f"{error}; {folder} holds no whole backup") from error
    progress.end()
    print(
        f"Backup of {manifest.node_id} as of {_time(manifest.created_ns)} in {folder}: "
        f"{len(manifest.files)} files, {manifest.size_bytes} bytes, checked"
    )


def restore(
    *,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the backup is.")],
    data_dir: Annotated[
        Path, typer.Option(envvar="INFLUXDB3_DB_DIR", metavar="DIR", help="As of serve.")
    ],
    node_id: Annotated[
        str,
        typer.Option(
            envvar="INFLUXDB3_NODE_IDENTIFIER_PREFIX",
            metavar="NODE_ID",
            callback=checks.node_id,
            help="As of serve; may differ from that of the backup.",
        ),
    ],
    plugin_dir: Annotated[
        Path | None,
        typer.Option(
            envvar="INFLUXDB3_PLUGIN_DIR",
            metavar="DIR",
            help="As of serve; <data-dir>/plugins if absent.",
        ),
    ] = None,
    with_plugins: Annotated[
        bool,
        typer.Option("--with-plugins/--without-plugins", help="Whether plugins are restored."),
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Make a server's folder out of a backup, before the server is started.

    Everything is checked first, and nothing is replaced: the folders must be empty or absent.
    """
    from engine.errors import EngineError
    from engine.upkeep.receive import read_manifest
    from engine.upkeep.restore import restore as restore_backup

    data = data_dir.expanduser().absolute()
    plugins = plugin_dir.expanduser().absolute() if plugin_dir else data / "plugins"
    try:
        # Each byte is read twice: once to check it, once to copy it.
        progress = _Progress("restored", 2 * read_manifest(folder).size_bytes, quiet=quiet)
        place = plugins if with_plugins else None
        restored = restore_backup(folder, data / node_id, place, progress.note)
    except (EngineError, OSError) as error:
        raise CommandFailed(str(error)) from error
    progress.end()
    print(_told(restored, data / node_id))


class _Progress:
    """Tells on standard error, about once a second, how far something has come."""

    def __init__(self, verb: str, total: int, *, quiet: bool) -> None:
        self._verb = verb
        self._total = total
        self._done = 0
        self._quiet = quiet
        self._next_s = time.monotonic() + _REPORT_EVERY_S

    def note(self, size: int) -> None:
        self._done += size
        if not self._quiet and time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _REPORT_EVERY_S
            part = f"{self._done / _MIB:.1f} of {self._total / _MIB:.1f} MiB {self._verb}"
            print(f"  {part}", file=sys.stderr, flush=True)

    def end(self) -> None:
        if not self._quiet:
            print(f"  {self._done / _MIB:.1f} MiB {self._verb}", file=sys.stderr)


def _make_empty(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except OSError as error:
        raise CommandFailed(f"cannot write {folder}: {error.strerror}") from error
    if not is_empty:
        raise CommandFailed(f"{folder} is not empty; a backup goes into a folder of its own")


def _told(restored: Restored, place: Path) -> str:
    from engine.model.names import INTERNAL_DATABASE

    manifest, catalog = restored.manifest, restored.catalog
    names = sorted(catalog.databases.keys() - {INTERNAL_DATABASE})
    tables = sum(len(catalog.databases[name].tables) for name in names)
    return (
        f"Restored {place} as of {_time(manifest.created_ns)}: "
        f"{len(names)} databases ({', '.join(names) or 'none'}) with {tables} tables, "
        f"{len(catalog.triggers)} triggers, the log up to entry {manifest.end - 1}; "
        f"{len(manifest.files)} files, {manifest.size_bytes} bytes, checked"
    )


def _time(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
