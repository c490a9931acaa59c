"""Compile the packages of an environment where its installer keeps them, and share the result.

    python -I worker/bytecode.py CACHE SITE_PACKAGES

An environment's files are links to those in the installer's cache. What is compiled there comes
with every later environment that links to the same package; this one gets it here. The result is
valid for its source whatever its time, which copies do not keep. Runs confined, by the Python of
the environment, with nothing but the standard library. Foreign source is compiled, never run.
"""

from __future__ import annotations

import compileall
import errno
import os
import py_compile
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["compile_packages"]

_ARCHIVES = "archive-v*/*/*.dist-info/METADATA"
_NICE = 15  # plugins that run meanwhile come first
_DONE = "bytecode-v0"  # in the cache: which archives are compiled, for which Python


def compile_packages(cache: Path, site_packages: Path) -> None:
    """Compile all packages of an environment.

    Args:
        cache: the installer's; packages that are not linked to it are compiled where they are.
        site_packages: of the environment.
    """
    is_linked = False
    for archive in _archives(cache, site_packages):
        is_linked = True
        done = cache / _DONE / str(sys.implementation.cache_tag) / archive.name
        if not done.exists():  # what is valid at any time would be compiled each time
            _compile(archive)
            done.parent.mkdir(parents=True, exist_ok=True)
            done.touch()
        _share(archive, site_packages)
    if not is_linked:
        _compile(site_packages)


def _archives(cache: Path, site_packages: Path) -> Iterator[Path]:
    """Find the unpacked packages to which the environment is linked."""
    for metadata in cache.glob(_ARCHIVES):
        installed = site_packages / metadata.parent.name / metadata.name
        if installed.exists() and installed.samefile(metadata):
            yield metadata.parent.parent


def _compile(folder: Path) -> None:
    # Source that does not compile is common, as templates or for other versions.
    compileall.compile_dir(
        folder,
        quiet=2,
        workers=0,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def _share(archive: Path, site_packages: Path) -> None:
    for compiled in archive.rglob(f"__pycache__/*.{sys.implementation.cache_tag}*.pyc"):
        link = site_packages / compiled.relative_to(archive)
        if link.parent.parent.is_dir() and not link.exists():
            link.parent.mkdir(exist_ok=True)
            _link(compiled, link)


def _link(compiled: Path, link: Path) -> None:
    """Share a file, or copy it where cache and environment are mounts of their own."""
    try:
        os.link(compiled, link)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copyfile(compiled, link)


if __name__ == "__main__":
    os.nice(_NICE)
    compile_packages(Path(sys.argv[1]), Path(sys.argv[2]))
