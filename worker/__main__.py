"""The start of a worker process: `python -I -S <runtime folder> <descriptor>`.

Order matters: confined first, then all of our imports, and only then anything foreign. Nothing of
the environment is looked at before the last layer is on: a `.pth` file in it is foreign code too.
"""

from __future__ import annotations

import gc
import os
import sys

from worker import confinement
from worker.hide import hide
from worker.launch import read_launch
from worker.loader import install_builtins
from worker.process import await_admission, bind_to_parent, leave
from worker.serve import Worker
from worker.stdio import join_streams

__all__ = ["main"]


def main() -> None:
    """Run the process."""
    join_streams()
    await_admission()
    launch = read_launch(int(sys.argv[1]))
    confinement.enter(launch.confinement)
    bind_to_parent()
    os.chdir(launch.plugin_dir)  # only now: who was here before may not enter it
    worker = Worker(launch)
    worker.connect()
    install_builtins()
    gc.freeze()
    confinement.seal(launch.confinement)
    hide(launch.runtime_dir, launch.environment, launch.site_packages)
    try:
        worker.serve()
        worker.close()
    except BaseException:  # noqa: BLE001 - nobody is left to tell but the engine's pipe
        sys.excepthook(*sys.exc_info())
        leave(1)
    leave(0)


if __name__ == "__main__":
    main()
