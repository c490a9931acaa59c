"""Where the environment that triggers share is found: `<plugin-dir>/.venv`.

It is a link to a folder of ours, replaced whole when the packages change; or a folder that belongs
to the user, which is left where it is and changed in place. A link that leads to where the data
folder was before it was moved is ours still. Any thread may ask; one at a time may lead.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

__all__ = ["SHARED_NAME", "SharedPlace"]

# In the plugin folder, as InfluxDB 3 Core has it.
SHARED_NAME = ".venv"
_LOCK_ID = re.compile(r"[0-9a-f]{16}")


class SharedPlace:
    """The name under which users know the shared environment.

    Args:
        path: of the link or the folder.
        shelf: the folder of our own environments.
        is_given: a setting names the folder, so it is the user's.
    """

    def __init__(self, path: Path, shelf: Path, *, is_given: bool = False) -> None:
        self.path = path
        self._shelf = shelf.resolve()
        self._is_given = is_given

    def is_foreign(self) -> bool:
        """Whether what lies there is the user's own."""
        if self._is_given:
            return True
        try:
            target = self.path.readlink()
        except FileNotFoundError:
            return False
        except OSError:
            return True  # a folder, or something worse
        home = Path(os.path.normpath(self.path.parent / target))
        return home.parent != self._shelf and not self._was_ours(home)

    def lead_to(self, folder: Path) -> None:
        """Have the link lead to one of our environments, from one moment to the next.

        Raises:
            OSError: it cannot be written, or something else lies there.
        """
        target = self._shelf / folder.name
        with contextlib.suppress(OSError):
            if self.path.readlink() == target:
                return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(f"{self.path.name}-next")
        if fresh.is_symlink():  # a server was killed here
            fresh.unlink()
        fresh.symlink_to(target)
        try:
            fresh.replace(self.path)
        except OSError:
            fresh.unlink()
            raise

    def _was_ours(self, home: Path) -> bool:
        """Whether a link leads to a shelf that is gone: the data folder was moved or restored."""
        is_named_so = home.parent.name == self._shelf.name and _LOCK_ID.fullmatch(home.name)
        return bool(is_named_so) and not home.parent.exists()
