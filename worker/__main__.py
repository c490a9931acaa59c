"""The start of a worker process: `python -I -S <runtime folder> <descriptor>`.

Order matters: bound to the parent first, all of our imports before anything foreign.
"""

from __future__ import annotations

import gc
import sys

from worker.hide import hide
from worker.launch import read_launch
from worker.loader import install_builtins
from worker.process import bind_to_parent, leave
from worker.serve import Worker
from worker.stdio import join_streams

__all__ = ["main"]


def main() -> None:
    """Run the process."""
    bind_to_parent()
    join_streams()
    launch = read_launch(int(sys.argv[1]))
    worker = Worker(launch)
    install_builtins()
    gc.freeze()
    hide(launch.runtime_dir, launch.site_packages)
    try:
        worker.serve()
        worker.close()
    except BaseException:  # noqa: BLE001 - nobody is left to tell but the engine's pipe
        sys.excepthook(*sys.exc_info())
        leave(1)
    leave(0)


if __name__ == "__main__":
    main()
