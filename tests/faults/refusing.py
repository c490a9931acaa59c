"""Let calls of the operating system fail, by the path they are about."""

from __future__ import annotations

import errno
import itertools
import os
import threading
from pathlib import Path
from typing import Any


def refuse(name: str, part: str, which: range, error: str) -> None:
    """Let some calls of a function of `os` fail.

    Args:
        name: of the function, as `fdatasync`.
        part: of the path that the call is about; calls about others are not counted.
        which: numbers of the calls that fail, from 1.
        error: as `ENOSPC`.
    """
    original = getattr(os, name)
    number = getattr(errno, error)
    counted = itertools.count(1)
    lock = threading.Lock()

    def call(about: Any, *arguments: Any, **more: Any) -> Any:  # noqa: ANN401  as the original
        if part in path_of(about):
            with lock:
                is_refused = next(counted) in which
            if is_refused:
                raise OSError(number, os.strerror(number))
        return original(about, *arguments, **more)

    setattr(os, name, call)


def path_of(about: Any) -> str:  # noqa: ANN401  whatever such a function takes first
    """Return the path of a descriptor or of something like a path."""
    try:
        if isinstance(about, int):
            return str(Path(f"/proc/self/fd/{about}").readlink())
        return os.fspath(about)
    except OSError:
        return ""
