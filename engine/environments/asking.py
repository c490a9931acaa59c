"""What a plugin asks for: its packages, and the versions of Python that it runs on.

    FILE.py                the block `# /// script` of PEP 723: `dependencies`, `requires-python`
    FOLDER/__init__.py     the same
    FOLDER/requirements.txt
    FOLDER/pyproject.toml  `dependencies` and `requires-python` of `[project]`
    FOLDER/manifest.toml   `python` of `[dependencies]`; also beside a single file without a block,
                           unless both lie in the plugin folder itself

All of it counts together, with what the trigger itself asks for. Only names of packages are taken:
where they come from is the server's to say, and what is not a package of an index would be built,
which runs its code.
Pure; may be called from any thread.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from itertools import islice

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from engine.environments.wishlist import Block, Places, requirement_lines, script_block
from engine.errors import UserError
from engine.model.lock import MANIFEST_FILE, PROJECT_FILE, REQUIREMENTS_FILE, Asked

__all__ = [
    "PluginTexts",
    "RequirementsInvalid",
    "asked_in_file",
    "asked_in_list",
    "asked_of",
    "joined",
    "replaced",
]

_FILE_ENDING = ".py"
_ENTRY_FILE = "__init__.py"
_MOST_REQUIREMENTS = 500
_LONGEST_REQUIREMENT = 2000
_LONGEST_PYTHON = 500
_LONGEST_TABLE = 256 * 1024
# What reads TOML takes a time that grows with the square of the parts of a key.
_MOST_DOTS = 1000
_PATH_STARTS = (".", "/", "~", "\\", "file:")
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


class RequirementsInvalid(UserError):
    """What a plugin or its trigger asks for cannot be read, or is not allowed."""

    code = "requirements_invalid"


@dataclass(frozen=True, slots=True)
class PluginTexts:
    """The files of a plugin in which it may ask for packages.

    Args:
        name: of the plugin, as its trigger gives it.
        script: the single file, or `__init__.py` of the folder.
        requirements: of `requirements.txt` of the folder; None where there is none.
        pyproject: likewise.
        manifest: likewise, or beside the single file.
    """

    name: str
    script: str | None = None
    requirements: str | None = None
    pyproject: str | None = None
    manifest: str | None = None

    @property
    def is_single(self) -> bool:
        """Whether the plugin is a single file."""
        return self.name.endswith(_FILE_ENDING)

    def path(self, file: str) -> str:
        """Return how a file of the plugin is named to its author."""
        if not self.is_single:
            return f"{self.name.rstrip('/')}/{file}"
        if file == _ENTRY_FILE:
            return self.name
        folder, slash, _ = self.name.rpartition("/")
        return f"{folder}{slash}{file}"


def asked_of(texts: PluginTexts, given: Sequence[str] = ()) -> Asked | None:
    """Return what a plugin and its trigger ask for together; None for nothing.

    Args:
        texts: of the plugin.
        given: requirements of the trigger.

    Raises:
        RequirementsInvalid: the text names the file and the line.
    """
    asked = joined(*_plugin_asks(texts), asked_in_list(given, "the trigger's requirements"))
    return asked if asked.requirements or asked.python else None


def asked_in_list(requirements: Iterable[str], source: str) -> Asked:
    """Return what a list of requirements asks for; it came from the source, as `the trigger`.

    Raises:
        RequirementsInvalid: one is none, or not allowed.
    """
    return _asked((text, source) for text in requirements)


def asked_in_file(text: str, path: str, *, is_told: bool = True) -> Asked:
    """Return what the text of a requirements file asks for.

    Args:
        text: of the file.
        path: of the file.
        is_told: whether what it holds may be told to whoever asked. Not of a file of the server's
            that was merely named: it may be something else.

    Raises:
        RequirementsInvalid: the text names the path and the line.
    """
    lines = ((line, f"{path} line {number}") for number, line in requirement_lines(text))
    return _asked(lines, is_told=is_told)


def joined(*parts: Asked) -> Asked:
    """Return what all of some ask for; with nothing, nothing.

    Raises:
        RequirementsInvalid: it is too much.
    """
    found: dict[str, str] = {}
    for part in parts:
        sources = part.sources or ("",) * len(part.requirements)
        for text, source in zip(part.requirements, sources, strict=True):
            found.setdefault(text, source)
    if len(found) > _MOST_REQUIREMENTS:
        raise RequirementsInvalid(f"more than {_MOST_REQUIREMENTS} requirements are asked for")
    texts = tuple(sorted(found))
    python = reduce(SpecifierSet.__and__, (SpecifierSet(p.python) for p in parts), SpecifierSet())
    return Asked(texts, str(python), tuple(found[text] for text in texts))


def replaced(before: Asked, newer: Asked) -> Asked:
    """Return what was asked for before, with newer requirements in place of those of one name."""
    names = {_name(text) for text in newer.requirements}
    sources = before.sources or ("",) * len(before.requirements)
    pairs = zip(before.requirements, sources, strict=True)
    kept = [(text, source) for text, source in pairs if _name(text) not in names]
    return joined(Asked(tuple(t for t, _ in kept), before.python, tuple(s for _, s in kept)), newer)


def _plugin_asks(texts: PluginTexts) -> Iterator[Asked]:
    block = _block_of(texts)
    if block is not None:
        yield _asked_in_table(block.text, block.path, (), first_line=block.first_line)
    if texts.manifest is not None and not (texts.is_single and block is not None):
        yield _asked_in_table(
            texts.manifest, texts.path(MANIFEST_FILE), ("dependencies",), "python"
        )
    if texts.requirements is not None:
        yield asked_in_file(texts.requirements, texts.path(REQUIREMENTS_FILE))
    if texts.pyproject is not None:
        yield _asked_in_table(texts.pyproject, texts.path(PROJECT_FILE), ("project",))


def _block_of(texts: PluginTexts) -> Block | None:
    path = texts.path(_ENTRY_FILE)
    try:
        return None if texts.script is None else script_block(texts.script, path)
    except ValueError as error:
        raise RequirementsInvalid(f"{path}: {error}") from error


def _asked_in_table(
    text: str,
    path: str,
    keys: Sequence[str],
    name: str = "dependencies",
    *,
    first_line: int = 1,
) -> Asked:
    """Return what a table of a TOML text asks for, which need not be there.

    Args:
        text: the TOML.
        path: of the file it stands in.
        keys: lead to the table.
        name: of the list of requirements in it.
        first_line: of the text in its file.
    """
    if len(text) > _LONGEST_TABLE or any(n.count(".") > _MOST_DOTS for n in text.split("\n")):
        raise RequirementsInvalid(f"{path} line {first_line}: too long for a list of packages")
    try:
        table: object = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also of numbers that are too long
        raise RequirementsInvalid(f"{path} line {first_line}: not TOML: {error}") from error
    for key in keys:
        table = table.get(key, {}) if isinstance(table, Mapping) else table
    if not isinstance(table, Mapping):
        raise RequirementsInvalid(f"{path}: [{'.'.join(keys)}] is not a table")
    listed = _texts(table.get(name, []), f"{path}: {name}")
    places = Places(text, path, first_line)
    asked = _asked((item, places.of(item)) for item in listed)
    return joined(asked, Asked(python=_python(table.get("requires-python", ""), path)))


def _texts(value: object, path: str) -> list[str]:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    raise RequirementsInvalid(f"{path} is not a list of texts")


def _python(value: object, path: str) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_PYTHON:
        return _refuse_python(value, path)
    try:
        return str(SpecifierSet(value))
    except InvalidSpecifier:
        return _refuse_python(value, path)


def _refuse_python(value: object, path: str) -> str:
    raise RequirementsInvalid(
        f"{path}: requires-python = {str(value)[:100]!r} is no version of Python; write >=3.11"
    )


def _asked(pairs: Iterable[tuple[str, str]], *, is_told: bool = True) -> Asked:
    """Return what requirements with their sources ask for."""
    few = list(islice(pairs, _MOST_REQUIREMENTS + 1))
    if len(few) > _MOST_REQUIREMENTS:
        raise RequirementsInvalid(f"{few[-1][1]}: more than {_MOST_REQUIREMENTS} requirements")
    canonical = partial(_canonical, is_told=is_told)
    return joined(*(Asked((canonical(text, source),), "", (source,)) for text, source in few))


def _canonical(text: str, source: str, *, is_told: bool) -> str:
    stripped = text.strip()
    shown = repr(stripped[:100]) if is_told else "what stands there"
    if stripped.startswith("-"):
        raise RequirementsInvalid(
            f"{source}: {shown} is an option; a plugin says only which packages it needs: the "
            "index or a folder of wheels is a setting of the server, and other files are not read"
        )
    if len(stripped) > _LONGEST_REQUIREMENT or not stripped.isprintable():
        raise RequirementsInvalid(f"{source}: {shown} is too long, or not printable")
    if _is_place(stripped):
        raise _no_place(shown, source)
    try:
        requirement = Requirement(stripped)
    except (InvalidRequirement, RecursionError) as error:
        reason = f": {str(error).partition(chr(10))[0]}" if is_told else ""
        raise RequirementsInvalid(
            f"{source}: {shown} is no requirement, as 'pandas>=2,<3'{reason}"
        ) from error
    if requirement.url is not None:
        raise _no_place(shown, source)
    requirement.name = canonicalize_name(requirement.name)
    requirement.extras = {canonicalize_name(extra) for extra in requirement.extras}
    return str(requirement)


def _is_place(text: str) -> bool:
    wanted = text.partition(";")[0].strip().lower()
    return (
        wanted.startswith(_PATH_STARTS)
        or wanted.endswith(_ARCHIVES)
        or "://" in wanted.partition("@")[0]
    )


def _no_place(shown: str, source: str) -> RequirementsInvalid:
    return RequirementsInvalid(
        f"{source}: {shown} is a path or an address; name a package of the index, or put its "
        "wheel into the server's wheel folder"
    )


def _name(requirement: str) -> str:
    return canonicalize_name(Requirement(requirement).name)
