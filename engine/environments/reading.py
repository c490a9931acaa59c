"""The files of a plugin in which it asks for packages, read from where its code is.

Any thread may call.
"""

from __future__ import annotations

from pathlib import Path

from engine.environments.asking import PluginTexts, RequirementsInvalid
from engine.errors import PluginFileError
from engine.model.lock import MANIFEST_FILE, PROJECT_FILE, REQUIREMENTS_FILE
from engine.plugins.code import ENTRY_FILE, MAX_SOURCE_BYTES, Source

__all__ = ["texts_of"]

# Lists of packages are short; what reads TOML is slow.
_MAX_LIST_BYTES = 256 * 1024


def texts_of(source: Source) -> PluginTexts:
    """Return the texts of a plugin in which it may ask for packages.

    Those of a single file are those of its code; those of a folder are read now.

    Raises:
        PluginFileError: a file of the folder cannot be read.
        RequirementsInvalid: one is too large, or no text.
    """
    if source.folder is None:
        _check_size(source.manifest, MANIFEST_FILE, source.name)
        return PluginTexts(source.name, source.text, manifest=source.manifest)
    folder = Path(source.folder)
    return PluginTexts(
        source.name,
        _text(folder, ENTRY_FILE, source.name, MAX_SOURCE_BYTES),
        _text(folder, REQUIREMENTS_FILE, source.name),
        _text(folder, PROJECT_FILE, source.name),
        _text(folder, MANIFEST_FILE, source.name),
    )


def _text(folder: Path, file: str, name: str, max_bytes: int = _MAX_LIST_BYTES) -> str | None:
    path = folder / file
    try:
        # A plugin that may write here could lead us elsewhere, or to a pipe that never ends.
        if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
            return None
        with path.open("rb") as opened:
            content = opened.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise _too_large(file, name, max_bytes)
        return content.decode()
    except UnicodeDecodeError as error:
        raise RequirementsInvalid(f"{name}: {file} is not UTF-8 text") from error
    except (OSError, RuntimeError) as error:  # a loop of links
        raise PluginFileError(f"reading plugin file: {error}") from error


def _check_size(text: str | None, file: str, name: str) -> None:
    if text is not None and len(text) > _MAX_LIST_BYTES:
        raise _too_large(file, name, _MAX_LIST_BYTES)


def _too_large(file: str, name: str, max_bytes: int) -> RequirementsInvalid:
    return RequirementsInvalid(f"{name}: {file} is larger than {max_bytes} bytes")
