"""Where requirements stand in files: the block in a Python file, and lines of a requirements file.

The block begins with `# /// script` and ends with the last `# ///` of the comment lines that
follow; one without an end is none. Both are read line by line, in one pass.
Pure; may be called from any thread. Source: PEP 723, and the requirements files of pip.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Block", "Places", "requirement_lines", "script_block"]

_BLOCK_START = re.compile(r"# /// ([A-Za-z0-9-]+)")
_BLOCK_END = "# ///"
_SCRIPT = "script"
_COMMENT = re.compile(r"(^|\s)#.*")
_HASHES = re.compile(r"\s--hash[=\s]")
_HASH = "--hash"
_QUOTED = re.compile(r'"([^"]*)"|\'([^\']*)\'')


@dataclass(frozen=True, slots=True)
class Block:
    """The metadata of a Python file.

    Args:
        path: of the file.
        text: TOML.
        first_line: of the text in the file, from 1.
    """

    path: str
    text: str
    first_line: int


class Places:
    """Where the items of a list stand in a text; found by looking for them as they are written.

    Args:
        text: TOML.
        path: of the file that it stands in.
        first_line: of the text in that file.
    """

    def __init__(self, text: str, path: str, first_line: int) -> None:
        self._path = path
        self._lines: dict[str, int] = {}
        for number, line in enumerate(text.split("\n"), first_line):
            for found in _QUOTED.finditer(line):
                self._lines.setdefault(found[1] or found[2] or "", number)

    def of(self, item: str) -> str:
        """Return the place of an item, or the text's when it is written in some other way."""
        number = self._lines.get(item)
        return self._path if number is None else f"{self._path} line {number}"


def script_block(script: str, path: str) -> Block | None:
    """Return the metadata of a Python file, or None.

    Raises:
        ValueError: there are two such blocks.
    """
    lines = [line.rstrip("\r") for line in script.removeprefix("\ufeff").split("\n")]
    blocks = [(a, b) for a, b, kind in _blocks(lines) if kind == _SCRIPT]
    if len(blocks) > 1:
        raise ValueError(f"line {blocks[1][0]}: a second block '# /// {_SCRIPT}'")
    if not blocks:
        return None
    start, end = blocks[0]
    content = [line[2:] if line.startswith("# ") else line[1:] for line in lines[start : end - 1]]
    return Block(path, "\n".join(content), start + 1)


def requirement_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the requirements and options of a file with the numbers of their lines, from 1.

    Hashes are left out: the lock that is made has those of all packages.
    """
    waiting, first = "", 0
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        first = first if waiting else number
        bare = _COMMENT.sub("", line)
        if bare.endswith("\\"):
            waiting += bare[:-1] + " "
            continue
        whole, waiting = _without_hashes(waiting + bare), ""
        if whole:
            yield first, whole
    if waiting.strip():
        yield first, _without_hashes(waiting)


def _without_hashes(line: str) -> str:
    """Cut off what follows a requirement, if that is hashes and nothing else."""
    found = _HASHES.search(line)
    if found is None:
        return line.strip()
    words = line[found.start() :].replace(f"{_HASH}=", f"{_HASH} ").split()
    is_all = len(words) % 2 == 0 and set(words[::2]) == {_HASH}
    return (line[: found.start()] if is_all else line).strip()


def _blocks(lines: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Yield the numbers of the first and last line of each block, from 1, and its kind."""
    place = 0
    while place < len(lines):
        start = _BLOCK_START.fullmatch(lines[place])
        place += 1
        if start is None:
            continue
        stop = place
        while stop < len(lines) and (lines[stop] == "#" or lines[stop].startswith("# ")):
            stop += 1
        # Without an end none of these lines can begin a block that has one.
        ends = (n for n in range(stop - 1, place - 1, -1) if lines[n] == _BLOCK_END)
        end = next(ends, None)
        if end is not None:
            yield place, end + 1, start[1]
        place = stop
