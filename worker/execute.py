"""The start of a program that is not a plugin: confined as a worker is, then replaced by it.

    python -I -S -c "... main()" <folder of this package> <descriptor>

The descriptor holds a JSON map: `argv`, `cwd`, `confinement` as in a launch document with the
filter in hexadecimal, and `is_guarded`. It needs the standard library alone, so that the server's
own Python runs it from wherever this package is installed. Everything is imported before the
process is admitted: afterwards its files may be out of reach.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any, NoReturn

from worker import confinement
from worker.guard import guard
from worker.process import await_admission, bind_to_parent

__all__ = ["main", "read_order"]

_READABLE = 0o022  # workers read what installers make, some of them under another user id
_CANNOT_RUN = 126


def main() -> NoReturn:
    """Confine this process and become the program."""
    await_admission()
    order = read_order(int(sys.argv[-1]))
    walls = confinement.Confinement.from_fields(order["confinement"])
    os.umask(_READABLE)
    parent = guard() if order["is_guarded"] else os.getppid()
    confinement.enter(walls)
    bind_to_parent()
    if os.getppid() != parent:
        os._exit(_CANNOT_RUN)
    os.chdir(order["cwd"])
    confinement.seal(walls)
    # Python ignores them, and what is ignored stays so in the program.
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    argv = order["argv"]
    try:
        os.execv(argv[0], argv)  # noqa: S606  that is its purpose
    except OSError as error:
        os.write(2, f"cannot run {argv[0]}: {error.strerror}\n".encode())
        os._exit(_CANNOT_RUN)


def read_order(descriptor: int) -> dict[str, Any]:
    """Read the map to its end and close the descriptor.

    Raises:
        ValueError: it is none.
    """
    with open(descriptor, "rb") as file:
        order: dict[str, Any] = json.load(file)
    walls = order["confinement"]
    if walls is not None and walls["seccomp"] is not None:
        walls["seccomp"] = bytes.fromhex(walls["seccomp"])
    return order
