"""Makes the process look, to the plugin, as if our own modules had never been there.

Everything that we ever need is imported by now; what is taken out of `sys.modules` stays alive by
our references. So a plugin or its environment may bring its own zmq, msgpack or `worker`, in any
version. `json` is taken out too: a plugin folder often holds a file of that name, and plugins
that found it in Core shall find it here. Called once, by the main thread, before foreign code.
"""

from __future__ import annotations

import builtins
import site
import sys
from types import ModuleType

from worker import line_builder

__all__ = ["hide"]

_OURS = ("zmq", "msgpack", "worker", "json")
_kept: list[ModuleType] = []


def hide(runtime_dir: str, environment: str, site_packages: list[str]) -> None:
    """Hide our modules, then add the plugin's environment.

    Args:
        runtime_dir: the folder that holds our modules.
        environment: the virtual environment that the process shall seem to run in; it was started
            with the installed Python, so that nothing of the environment ran before it was sealed.
        site_packages: folders of the environment; their `.pth` files are honoured.
    """
    sys.path[:] = [entry for entry in sys.path if entry != runtime_dir]
    sys.path_importer_cache.pop(runtime_dir, None)
    ours = [name for name in sys.modules if name.partition(".")[0] in _OURS]
    _kept.extend(sys.modules.pop(name) for name in ours)
    _replace_main()
    sys.argv[:] = [""]
    sys.prefix = sys.exec_prefix = environment
    sys.executable = f"{environment}/bin/python"
    site.setquit()
    site.sethelper()
    for folder in site_packages:
        site.addsitedir(folder)


def _replace_main() -> None:
    """Give the process the `__main__` of Core: it holds the errors of LineBuilder, and no file."""
    _kept.append(sys.modules["__main__"])
    main = ModuleType("__main__")
    for name in line_builder.__all__:
        setattr(main, name, getattr(builtins, name))
    sys.modules["__main__"] = main
