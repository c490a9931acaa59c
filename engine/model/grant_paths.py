"""Which paths can be granted: what is said of them without a look at the disk.

A path directly below the plugin folder can, and one that has nothing to do with the folders of the
server or the kernel's. Deeper below the plugin folder a mount point would lie in a folder that
belongs to a plugin.
Pure; may be called from any thread. Callers check the path that symbolic links lead to as well.
"""

from __future__ import annotations

from engine.errors import InvalidParameter
from engine.model.grants import Grants

__all__ = ["check_paths"]

_KERNEL_FOLDERS = ("/proc", "/sys", "/dev")
# A worker has these, but with other content.
_OWN_FOLDERS = ("/bin", "/etc", "/lib", "/lib64", "/sbin", "/tmp", "/usr", "/var")  # noqa: S108
_ENVIRONMENT = ".venv"


def check_paths(grants: Grants, plugin_dir: str, data_dir: str) -> None:
    """Check that the paths of grants are none of the server's own or the kernel's.

    Args:
        grants: whose paths are checked.
        plugin_dir: the plugin folder, absolute and normalised.
        data_dir: the data folder, likewise; the plugin folder may lie in it.

    Raises:
        InvalidParameter: a path cannot be granted; the message says why.
    """
    for kind, paths in (("read", grants.read), ("write", grants.write)):
        for path in paths:
            why_not = _why_not(path, plugin_dir, data_dir)
            if why_not:
                raise InvalidParameter(f"grant '{kind}={path}' cannot be given: {why_not}")


def _why_not(path: str, plugin_dir: str, data_dir: str) -> str:
    if _is_below(path, plugin_dir):
        return _why_not_in_plugin_folder(path[len(plugin_dir.rstrip("/")) + 1 :])
    if _is_within(plugin_dir, path):
        return "it holds the plugin folder, and with it other plugins"
    if _is_within(data_dir, path) or _is_below(path, data_dir):
        return "the server keeps its data there"
    for folder in _KERNEL_FOLDERS:
        if _is_within(folder, path) or _is_below(path, folder):
            return f"a worker has a {folder} of its own"
    if path in _OWN_FOLDERS:
        return f"a worker has a {path} of its own; grant what is needed below it"
    return ""


def _why_not_in_plugin_folder(relative: str) -> str:
    if "/" in relative:
        return "of the plugin folder, only what lies directly in it can be granted"
    if relative == _ENVIRONMENT:
        return "a plugin has its environment without a grant"
    return ""


def _is_within(path: str, folder: str) -> bool:
    return path == folder or _is_below(path, folder)


def _is_below(path: str, folder: str) -> bool:
    return path != folder and path.startswith(f"{folder.rstrip('/')}/")
