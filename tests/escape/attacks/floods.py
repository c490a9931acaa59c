"""Floods: talking so much that the engine has to hold it, or hides what others say.

A safe engine takes what is within bounds and drops or refuses the rest. Judged from outside for
all of them: the server lives, has not grown, and the other trigger works.
"""

from __future__ import annotations

import os
import pickle

from .catalog import MIB, SECRET, Local, World, attack

_LINES = 40_000
_PRINTED = 6 * MIB
_VALUES = 400
_VALUE = b"v" * (MIB - 1000)  # the engine keeps no copy of larger ones


@attack(is_deadly=True, is_heavy=True)
def log_lines(world: World, local: Local) -> str | None:
    """Try: log 40,000 long lines at once. Safe: a bounded number is kept."""
    text = "x" * 2000
    for number in range(_LINES):
        local.info(f"{number} {text}")
    return None


@attack(is_deadly=True)
def long_line(world: World, local: Local) -> str | None:
    """Try: one log line of 100 MiB. Safe: it is refused or cut."""
    local.info("x" * (100 * MIB))
    return None


@attack()
def terminal_escapes(world: World, local: Local) -> str | None:
    """Try: escape sequences in log lines and prints, to speak to the administrator's terminal.

    Safe: what the server prints and keeps has no control characters. Judged from outside.
    """
    local.warn(f"\x1b]0;{world.mark}\x07\x1b[2J looks like a fresh terminal")
    os.write(1, f"\x1b]0;{world.mark}\x07\x1b[2J\n".encode())
    return None


@attack()
def forged_log_lines(world: World, local: Local) -> str | None:
    """Try: a log line that looks like several, the later ones the server's. Judged from outside.

    Safe: every line that the server prints for it says whose output it is.
    """
    local.warn(f"harmless\n2026-01-01T00:00:00Z ERROR engine {world.mark} forged")
    os.write(1, f"harmless\r2026-01-01T00:00:00Z ERROR engine {world.mark} forged\n".encode())
    return None


@attack(is_deadly=True, is_heavy=True)
def prints(world: World, local: Local) -> str | None:
    """Try: print 6 MiB in short lines. Safe: the server keeps the last lines only."""
    line = b"y" * 199 + b"\n"
    for _ in range(_PRINTED // (len(line) * 300)):
        os.write(1, line * 300)
    return None


@attack(is_deadly=True)
def endless_print(world: World, local: Local) -> str | None:
    """Try: print 6 MiB without the end of a line. Safe: it is cut."""
    for _ in range(_PRINTED // MIB):
        os.write(2, b"z" * MIB)
    return None


@attack(is_deadly=True, is_heavy=True)
def mirrored_values(world: World, local: Local) -> str | None:
    """Try: 400 MiB in the own cache, of which the engine keeps copies. Safe: up to a limit."""
    for number in range(_VALUES):
        local.cache.put(f"flood-{number}", number.to_bytes(4, "big") + _VALUE)
    return None


@attack(is_deadly=True, is_heavy=True)
def global_values(world: World, local: Local) -> str | None:
    """Try: 400 MiB in the cache that all triggers share. Safe: refused at its limit."""
    kept = 0
    try:
        for number in range(_VALUES):
            local.cache.put(f"flood-{world.mark}-{number}", _VALUE, use_global=True)
            kept += 1
    except RuntimeError:
        return None
    finally:
        for number in range(kept):
            local.cache.delete(f"flood-{world.mark}-{number}", use_global=True)
    return f"{kept} MiB in the global cache"


@attack(is_deadly=True, is_heavy=True)
def huge_lines(world: World, local: Local) -> str | None:
    """Try: hand over 180 MiB to write, in few lines. Safe: refused, or the worker is replaced."""
    line = 'flood v="' + "x" * (3 * MIB) + '"'
    for _ in range(60):
        local.write_to_db("escape_flood", _Lines(line))
    return None


class _Lines:
    """Looks like a line to the plugin API."""

    def __init__(self, text: str) -> None:
        self._text = text

    def build(self) -> str:
        return self._text


class _Payload:
    """Says something at unpickling."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        code = "__import__('builtins').__dict__.__setitem__('escape_planted', 'by a pickle')"
        return (eval, (code,))


@attack()
def poisoned_global(world: World, local: Local) -> str | None:
    """Try: leave a hostile pickle in the shared cache, which the other trigger reads.

    Safe: it gets bytes, and nothing of them is run. Judged from outside.
    """
    local.cache.put("shared", pickle.dumps(_Payload()), use_global=True)
    return None


@attack()
def poisoned_mirror(world: World, local: Local) -> str | None:
    """Try: leave a hostile pickle in the own cache, under a key that another trigger uses.

    Safe: it comes back to this trigger only. Judged from outside, after a restart of both.
    """
    local.cache.put("state", _Payload())
    return None


@attack()
def foreign_cache(world: World, local: Local) -> str | None:
    """Try: read another trigger's own cache. Safe: its values are not to be had."""
    for key in ("state", "victim/state", "victim:state", "../victim/state"):
        for use_global in (False, True):
            found = local.cache.get(key, use_global=use_global)
            if isinstance(found, str) and SECRET in found:
                return f"read {key}"
    return None
