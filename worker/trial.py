"""The start of a process that only imports: whether packages work where a plugin would use them.

    python -I -S -c "... main()" <runtime folder> <descriptor>

Confined as the worker of a trigger without grants, by the same steps in the same order. The
descriptor holds a map as for `worker.execute`, with `runtime_dir`, `environment`, `site_packages`,
`modules` and a `token`. What it has to say stands in lines that begin with the token, between
whatever the packages print:

    <token> begin <module>
    <token> failed <module> <last line of the error>
"""

from __future__ import annotations

import importlib
import os
import sys

from worker import confinement
from worker.execute import read_order
from worker.hide import hide
from worker.loader import install_builtins
from worker.process import await_admission, bind_to_parent, leave
from worker.stdio import join_streams

__all__ = ["main"]

_FAILED = 1


def main() -> None:
    """Run the process."""
    join_streams()
    await_admission()
    order = read_order(int(sys.argv[-1]))
    walls = confinement.Confinement.from_fields(order["confinement"])
    confinement.enter(walls)
    bind_to_parent()
    os.chdir(order["cwd"])
    install_builtins()
    confinement.seal(walls)
    hide(order["runtime_dir"], order["environment"], order["site_packages"])
    for module in order["modules"]:
        _say(f"{order['token']} begin {module}")
        try:
            importlib.import_module(module)
        except BaseException as error:  # noqa: BLE001 - a package may raise what it likes
            _say(f"{order['token']} failed {module} {_last_line(error)}")
            leave(_FAILED)
    leave(0)


def _say(line: str) -> None:
    # Past the streams, which a package may have replaced; on a line of its own.
    os.write(2, f"\n{line}\n".encode(errors="replace"))


def _last_line(error: BaseException) -> str:
    name = type(error).__name__
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # noqa: BLE001 - the package's own code
        lines = []
    return f"{name}: {lines[-1].strip()}" if lines else name
