"""Names of plugins as paths that never leave the plugin folder.

Absolute names, `..`, NUL, and links that point outside are refused. A name under which something
is to be *written* is held to more: every part must be an ordinary name, so that the environment,
our own scratch folder and byte code caches cannot be written to. Any thread may call.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from engine.errors import PluginFileError, UserError

__all__ = ["CACHE_FOLDER", "UploadRefused", "inside", "written_name"]

CACHE_FOLDER = "__pycache__"
_MAX_PARTS = 32
_MAX_PART_BYTES = 255


class UploadRefused(UserError):
    """An uploaded file has a name, a size or a place that is not accepted; nothing was changed."""

    code = "upload_refused"


def inside(directory: Path, name: str) -> Path:
    """Return the path of a name in a folder; nothing needs to be there.

    Raises:
        PluginFileError: the name, or a link on the way, leads out of the folder.
    """
    relative = Path(name.rstrip("/"))
    is_inside = not relative.is_absolute() and ".." not in relative.parts and "\0" not in name
    if not is_inside or not name.strip("/."):
        raise PluginFileError(_traversal(name))
    path = directory / relative
    try:
        resolved = path.resolve()
    except (OSError, RuntimeError) as error:  # a loop of links
        raise PluginFileError(f"reading plugin file: {path}: {error}") from error
    if not resolved.is_relative_to(directory.resolve()):
        raise PluginFileError(_traversal(name))
    return path


def written_name(name: str) -> PurePosixPath:
    """Return a relative name under which a file may be written.

    Raises:
        UploadRefused: it is empty, leads out of its folder, or has a part that is not allowed.
    """
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise UploadRefused(_traversal(name))
    if not all(parts) or len(parts) > _MAX_PARTS:
        raise UploadRefused(f"plugin filename '{name}' is empty, has an empty part, or is too deep")
    for part in parts:
        _check_part(name, part)
    return PurePosixPath(name)


def _check_part(name: str, part: str) -> None:
    if part.startswith(".") or part == CACHE_FOLDER:
        raise UploadRefused(f"plugin filename '{name}': '{part}' is reserved; use another name")
    if len(part.encode(errors="surrogatepass")) > _MAX_PART_BYTES:
        raise UploadRefused(f"plugin filename '{name[:80]}...' is too long")
    if not part.isprintable():  # surrogates and control characters as well
        raise UploadRefused(f"plugin filename {part!a} holds characters that cannot be printed")


def _traversal(name: str) -> str:
    return (
        f"Path traversal detected: plugin filename '{name}' attempts to access files "
        "outside the plugin directory"
    )
