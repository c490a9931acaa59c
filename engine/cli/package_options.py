"""Options of `serve` about the packages of plugins, and the settings they come to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli import checks

__all__ = [
    "BuildFromSource",
    "EnvironmentRetention",
    "PackageCacheDir",
    "PackageHost",
    "PackageManager",
    "PythonDir",
    "VirtualEnvLocation",
    "WheelDir",
    "package_settings",
]

_DAY_S = 86_400.0

VirtualEnvLocation = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="The Python environment that plugins share; <plugin-dir>/.venv if absent.",
    ),
]
PackageManager = Annotated[
    str,
    typer.Option(
        envvar="INFLUXDB3_PACKAGE_MANAGER",
        metavar="MANAGER",
        callback=checks.package_manager,
        help="What installs packages: discover, uv, pip, or disabled.",
    ),
]
WheelDir = Annotated[
    Path | None,
    typer.Option(
        envvar="BULKHEAD_WHEEL_DIR",
        metavar="DIR",
        exists=True,
        file_okay=False,
        help="Folder of wheels that packages come from, instead of the package index.",
    ),
]
PackageCacheDir = Annotated[
    Path | None,
    typer.Option(
        envvar="BULKHEAD_PACKAGE_CACHE_DIR",
        metavar="DIR",
        help="Where fetched packages are kept; <data-dir>/package-cache if absent.",
    ),
]
BuildFromSource = Annotated[
    bool,
    typer.Option(
        "--build-from-source",
        envvar="BULKHEAD_BUILD_FROM_SOURCE",
        help="Take packages without a wheel as well, which runs code of theirs to build them.",
    ),
]
PythonDir = Annotated[
    list[Path],
    typer.Option(
        envvar="BULKHEAD_PYTHON_DIR",
        metavar="DIR",
        help="Folder in which Pythons for plugins are looked for; may be repeated.",
    ),
]
PackageHost = Annotated[
    list[str],
    typer.Option(
        envvar="BULKHEAD_PACKAGE_HOST",
        metavar="HOST[:PORT]",
        callback=checks.package_hosts,
        help="A host that packages may be fetched from beside the index; may be repeated.",
    ),
]
EnvironmentRetention = Annotated[
    str | None,
    typer.Option(
        envvar="BULKHEAD_ENVIRONMENT_RETENTION",
        metavar="DURATION",
        callback=checks.duration("--environment-retention", may_be_0=True),
        help="How long an environment stays that nothing uses; 7d if absent.",
    ),
]


def package_settings(
    manager: str,
    *,
    environment_dir: Path | None,
    wheel_dir: Path | None,
    cache_dir: Path | None,
    build_from_source: bool,
    python_dirs: list[Path],
    hosts: list[str],
    retention: str | None,
) -> dict[str, object]:
    """Return the settings of the section `packages`, without what was not given."""
    folders = {"environment_dir": environment_dir, "wheel_dir": wheel_dir, "cache_dir": cache_dir}
    settings: dict[str, object] = {
        "manager": manager,
        "build_from_source": build_from_source,
        "python_dirs": [_absolute(folder) for folder in python_dirs],
        "hosts": hosts,
        **{name: _absolute(folder) for name, folder in folders.items() if folder is not None},
    }
    if retention is not None:
        kept_s = checks.duration_s(retention, "--environment-retention", may_be_0=True)
        settings["unused_days"] = kept_s / _DAY_S
    return settings


def _absolute(folder: Path) -> str:
    return str(folder.expanduser().absolute())
