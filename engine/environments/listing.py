"""Which packages lie in an environment, as their metadata says. Any thread."""

from __future__ import annotations

import os
import re
from contextlib import suppress

from packaging.utils import canonicalize_name

from engine.environments.environment import Environment

__all__ = ["installed"]

_METADATA = re.compile(r"([^-]+)-([^-]+)\.dist-info")


def installed(environment: Environment) -> dict[str, str]:
    """Return the versions of the packages of an environment by their normalized names."""
    found: dict[str, str] = {}
    for folder in environment.site_packages:
        with suppress(OSError):
            for name in os.listdir(folder):  # noqa: PTH208  names are all that is needed
                if (match := _METADATA.fullmatch(name)) is not None:
                    found[canonicalize_name(match[1])] = match[2]
    return dict(sorted(found.items()))
