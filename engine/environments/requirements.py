"""What may be asked to be installed: names of packages, and files that list them.

An installer takes more than names: options that point it at other indexes or folders, and sources
that are built, which runs foreign code as the server. Neither is wanted from a request. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from packaging.requirements import InvalidRequirement, Requirement

from engine.environments.wishlist import requirement_lines
from engine.errors import UserError

__all__ = ["PackageRefused", "check_packages", "check_requirements"]

_MOST_PACKAGES = 500
_LONGEST_PACKAGE = 2000
# Where packages come from and what they must be; all else, above all `--editable`, is refused.
_ALLOWED_OPTIONS = frozenset(
    [
        "-f",
        "-i",
        "--extra-index-url",
        "--find-links",
        "--hash",
        "--index-url",
        "--no-index",
        "--pre",
        "--prefer-binary",
        "--require-hashes",
    ]
)
_WHEEL = ".whl"
_COMMENT = re.compile(r"(^|\s)#.*")
_OPTION = re.compile(r"--[a-z0-9-]+|-.?")


class PackageRefused(UserError):
    """A package is not named as one, or a requirements file asks for what is not allowed."""

    code = "package_refused"


def check_packages(packages: Sequence[str]) -> None:
    """Accept names as `pandas` or `pandas>=2`, and nothing that could be an option.

    Raises:
        PackageRefused: there is none, or one is something else.
    """
    if not 0 < len(packages) <= _MOST_PACKAGES:
        raise PackageRefused(f"packages must be 1 to {_MOST_PACKAGES}, not {len(packages)}")
    for package in packages:
        if package.lstrip().startswith("-"):
            raise PackageRefused(f"{package!r} is an option, not a package")
        if not package.strip() or not package.isprintable() or len(package) > _LONGEST_PACKAGE:
            raise PackageRefused(f"{package[:100]!r} is not the name of a package")


def check_requirements(text: str) -> None:
    """Accept the text of a requirements file that can be installed without running its code.

    Every word is looked at, on every line: installers do not agree on what a line is. Of the file
    itself nothing is told, since it may be something else that was merely named.

    Raises:
        PackageRefused: it holds an option that is not allowed, or what is no requirement.
    """
    for number, line in enumerate(text.splitlines(), 1):
        for word in _COMMENT.sub("", line).split():
            found = _OPTION.match(word)
            if found is not None and found[0] not in _ALLOWED_OPTIONS:
                raise PackageRefused(
                    f"line {number} of the requirements: {found[0]} is not allowed; "
                    f"allowed are {', '.join(sorted(_ALLOWED_OPTIONS))}"
                )
    for number, line in requirement_lines(text):
        if not (line.startswith("-") or _is_requirement(line)):
            raise PackageRefused(f"line {number} of the requirements is none")


def _is_requirement(line: str) -> bool:
    if "://" in line or line.endswith(_WHEEL):
        return True
    try:
        Requirement(line)
    except (InvalidRequirement, RecursionError):
        return False
    return True
