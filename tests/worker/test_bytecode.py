from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from worker import bytecode

TAG = sys.implementation.cache_tag


def package(cache: Path, site_packages: Path, *, is_linked: bool = True) -> Path:
    """Install a package as uv does; return its folder in the cache."""
    archive = cache / "archive-v0" / "x1"
    for name, text in (("six-1.dist-info/METADATA", "Name: six\n"), ("six/__init__.py", "A = 1\n")):
        kept, installed = archive / name, site_packages / name
        for path in (kept, installed):
            path.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(text)
        if is_linked:
            os.link(kept, installed)
        else:
            installed.write_text(text)
    return archive


def run(cache: Path, site_packages: Path) -> None:
    program = [sys.executable, "-I", bytecode.__file__, str(cache), str(site_packages)]
    subprocess.run(program, check=True, timeout=60)


def test_package_is_compiled_in_the_cache_and_shared(tmp_path: Path) -> None:
    cache, site_packages = tmp_path / "cache", tmp_path / "site-packages"
    archive = package(cache, site_packages)

    run(cache, site_packages)

    name = f"six/__pycache__/__init__.{TAG}.pyc"
    assert (archive / name).samefile(site_packages / name)


def test_result_does_not_depend_on_the_time_of_the_source(tmp_path: Path) -> None:
    cache, site_packages = tmp_path / "cache", tmp_path / "site-packages"
    package(cache, site_packages)
    run(cache, site_packages)
    os.utime(site_packages / "six/__init__.py", (1, 1))

    code = f"import sys; sys.path.insert(0, {str(site_packages)!r}); import six; print(six.A)"
    printed = subprocess.run(
        [sys.executable, "-I", "-v", "-c", code], capture_output=True, text=True, check=True
    )

    assert printed.stdout == "1\n"
    assert f"code object from '{site_packages}/six/__pycache__" in printed.stderr


def test_package_that_is_not_linked_to_the_cache_is_compiled_in_place(tmp_path: Path) -> None:
    cache, site_packages = tmp_path / "cache", tmp_path / "site-packages"
    archive = package(cache, site_packages, is_linked=False)

    run(cache, site_packages)

    assert (site_packages / f"six/__pycache__/__init__.{TAG}.pyc").exists()
    assert not (archive / "six/__pycache__").exists()


def test_source_that_does_not_compile_stops_nothing(tmp_path: Path) -> None:
    cache, site_packages = tmp_path / "cache", tmp_path / "site-packages"
    archive = package(cache, site_packages)
    (archive / "six" / "broken.py").write_text("def (\n")

    run(cache, site_packages)

    assert (site_packages / f"six/__pycache__/__init__.{TAG}.pyc").exists()


def test_package_is_compiled_once_for_all_environments(tmp_path: Path) -> None:
    cache, site_packages = tmp_path / "cache", tmp_path / "site-packages"
    archive = package(cache, site_packages)
    run(cache, site_packages)
    compiled = archive / f"six/__pycache__/__init__.{TAG}.pyc"
    before = compiled.stat()

    run(cache, site_packages)

    assert (compiled.stat().st_ino, compiled.stat().st_ctime_ns) == (
        before.st_ino,
        before.st_ctime_ns,
    )
