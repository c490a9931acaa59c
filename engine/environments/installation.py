"""One installation: the installer's command line, and its variables.

Only wheels are taken: to build a package runs its code. Any thread may call.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

import uv

from engine.environments.environment import Environment
from engine.environments.failures import InstallFailed
from engine.environments.requirements import PackageRefused

__all__ = [
    "Wanted",
    "fingerprint",
    "install_command",
    "install_variables",
    "masked",
    "read_requirements",
]

_MAX_REQUIREMENTS_BYTES = 1024 * 1024
_ONLY_WHEELS = ("--only-binary", ":all:")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s]+@")
# Whatever could lead the installer to another environment, to sources, or to our own secrets; and
# have it run the Python of an environment that it has just filled.
_DROPPED_VARIABLES = re.compile(
    r"VIRTUAL_ENV|CONDA_.*|PYTHON.*|INFLUXDB3_.*|BULKHEAD_.*|UV_SYSTEM_PYTHON|UV_PYTHON.*"
    r"|UV_CONFIG_FILE|UV_PROJECT.*|UV_COMPILE.*|(UV|PIP)_(NO_BINARY.*|ONLY_BINARY|TARGET|PREFIX|ROOT|USER|REQ.*)"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Packages by name, or a requirements file of this machine."""

    packages: tuple[str, ...] = ()
    requirements: str | None = None


def install_command(
    environment: Environment, package_manager: str, wanted: Wanted, wheel_dir: Path | None = None
) -> list[str]:
    """Return the command that installs into an environment.

    Args:
        environment: that changes.
        package_manager: `pip`, or uv.
        wanted: what is to be in it.
        wheel_dir: instead of the index.

    Raises:
        InstallFailed: the environment has no pip and was to be served by it.
    """
    match package_manager:
        case "pip":
            if not any((path / "pip").is_dir() for path in environment.site_packages):
                raise InstallFailed(
                    f"the environment {environment.root} has no pip; "
                    "start the server with --package-manager uv"
                )
            command = [str(environment.python), "-I", "-m", "pip", "install", "--quiet"]
            command += ["--no-input", "--disable-pip-version-check", "--no-cache-dir"]
            command += _ONLY_WHEELS
        case _:
            command = [uv.find_uv_bin(), "pip", "install", "--quiet", "--no-progress"]
            command += ["--color", "never", "--no-config", "--no-cache", *_ONLY_WHEELS]
            command += ["--link-mode", "copy"]
            command += ["--python", str(environment.python)]
    if wheel_dir is not None:
        command += ["--no-index", "--find-links", str(wheel_dir)]
    if wanted.requirements is not None:
        return [*command, "-r", str(Path(wanted.requirements).absolute())]
    return [*command, "--", *wanted.packages]


def masked(text: str) -> str:
    """Return a text without the names and passwords of its URLs."""
    return _CREDENTIALS.sub("***@", text)


def read_requirements(path: Path) -> str:
    """Return the text of a requirements file.

    Raises:
        PackageRefused: it cannot be read or is too large.
    """
    try:
        if not path.is_file():
            raise PackageRefused(f"there is no requirements file {path} on the server")
        with path.open("rb") as file:
            content = file.read(_MAX_REQUIREMENTS_BYTES + 1)
        if len(content) > _MAX_REQUIREMENTS_BYTES:
            raise PackageRefused(f"{path} is larger than {_MAX_REQUIREMENTS_BYTES} bytes")
        return content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise PackageRefused(f"cannot read the requirements file {path}: {error}") from error


def fingerprint(environment: Environment) -> frozenset[tuple[str, int]]:
    """Return what changes whenever a package comes, goes or is replaced."""
    found: set[tuple[str, int]] = set()
    for folder in environment.site_packages:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            found |= {(entry.path, entry.stat().st_ctime_ns) for entry in entries}
    return frozenset(found)


def install_variables() -> dict[str, str]:
    """Return the server's variables without those that an installer must not see."""
    variables = os.environ.items()
    return {name: value for name, value in variables if not _DROPPED_VARIABLES.fullmatch(name)}
