"""Verdicts: what the attack itself says, and what only somebody outside can see.

For every attack: the server lives and has not grown, the victim is as it was, nothing was left on
the host, nothing arrived at a listener, and no process outlives the trigger by more than a second.
Some attacks are judged further, by a function of their name in `JUDGES`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import psutil

from tests.escape.arena import VICTIM, Arena, Round, Verdict, can_connect, eventually
from tests.escape.attacks import entry
from tests.escape.attacks.catalog import ATTACKS, MIB

assert entry.ATTACKS is ATTACKS
# A batch of lines, a cache or a message may be as large as this without being a leak.
MOST_GROWTH = 300 * MIB
_GONE_WITHIN_S = 1.0
# The answer to a run whose limit was 1 s: grace, kill and a busy machine included.
_ANSWERED_WITHIN_S = 8.0

# What these say of themselves is for those outside to check, and no verdict yet.
_ASKED_OUTSIDE = ("network_tcp_interface", "network_udp_loopback")

Judge = Callable[[Arena, Round], str | None]


def judge(arena: Arena, name: str) -> Verdict:
    """Run one attack and say how it ended."""
    attack = ATTACKS[name]
    began_s = time.monotonic()
    played = arena.run(name, attack)
    took_s = time.monotonic() - began_s
    try:
        own = _own_verdict(played)
        seen = _seen(arena, played, took_s)
    finally:
        with contextlib.suppress(OSError):
            arena.remove(played.trigger)
    left = _left(arena, played)
    if not own.escaped and (seen or left):
        return Verdict(escaped=True, how=str(seen or left))
    return own


def _own_verdict(played: Round) -> Verdict:
    answer = played.answer
    if answer is None:
        return Verdict(escaped=True, how="the server ended or does not answer")
    if answer.status == 200:
        said = answer.json()
        how = str(said["how"])
        escaped = said["escaped"] and played.name not in _ASKED_OUTSIDE
        return Verdict(escaped, how, is_broken=how.startswith("broken"))
    return Verdict(
        escaped=False,
        how=f"no verdict: {answer.status} {answer.text[:300]}",
        is_broken=not played.attack.is_deadly,
    )


def _seen(arena: Arena, played: Round, took_s: float) -> str | None:
    """Look from outside while the trigger is still there."""
    if arena.server.status is not None:
        return "the server has ended"
    if played.grown_bytes > MOST_GROWTH:
        return f"the server grew by {played.grown_bytes // MIB} MiB"
    if played.attack.limits.get("time") and took_s > _ANSWERED_WITHIN_S:
        return f"the run took {took_s:.1f} s"
    further = JUDGES.get(played.name)
    found = further(arena, played) if further is not None else None
    if arena.server.status is not None:  # a judge may end it
        return found
    return found or arena.victim_is_well()


def _left(arena: Arena, played: Round) -> str | None:
    """Look from outside after the trigger was removed."""
    if any(played.mark.encode() in datagram for datagram in arena.around.datagrams()):
        return "a datagram arrived"
    traces = arena.around.traces(played.mark)
    if traces:
        return f"left {traces[0]} on the host"
    if arena.around.holdings() != played.before:
        return "the folder outside was changed"
    return _outlived(arena, played.mark)


def _outlived(arena: Arena, mark: str) -> str | None:
    with contextlib.suppress(AssertionError):
        eventually(lambda: not arena.processes(mark), within_s=_GONE_WITHIN_S)
        return None
    for process in arena.processes(mark):
        with contextlib.suppress(psutil.Error):
            process.kill()
    return "a process is still there a second after the end"


def _connects(arena: Arena, played: Round) -> str | None:
    """A port that the plugin has opened can be connected to from outside."""
    if played.answer is None or played.answer.status != 200:
        return None
    how = str(played.answer.json()["how"])
    if not how.startswith("port "):
        return None
    return f"others can connect to {how}" if can_connect(int(how.split()[1])) else None


def _escapes(arena: Arena, played: Round) -> str | None:
    eventually(lambda: _lines_with(arena, played.mark))  # else nothing would be shown
    if any("\x1b" in line for line in _lines_with(arena, played.mark)):
        return "escape sequences are printed"
    return None


def _forges(arena: Arena, played: Round) -> str | None:
    eventually(lambda: _lines_with(arena, played.mark))
    for line in _lines_with(arena, played.mark):
        for part in line.replace("\r", "\n").split("\n"):
            if part.startswith("2026-01-01"):
                return "a forged line is printed"
    return None


def _lines_with(arena: Arena, mark: str) -> list[str]:
    return [line for line in arena.server.output if mark in line]


def _restarts(arena: Arena, played: Round) -> str | None:
    """Give both triggers a new worker, and ask whether they have met planted code."""
    for trigger in (VICTIM, played.trigger):
        arena.restart(trigger)
    answer = arena.ask(played.trigger, probe="1")
    planted = answer.json().get("planted") if answer.status == 200 else None
    return f"planted code ran at the next start: {planted}" if planted else None


def _kills_server(arena: Arena, played: Round) -> str | None:
    """Kill the server and see what is left of the attacker after a second."""
    eventually(lambda: played.answer is not None)
    arena.server.kill()
    return _outlived(arena, played.mark)


JUDGES: dict[str, Judge] = {
    "network_tcp_interface": _connects,
    "floods_terminal_escapes": _escapes,
    "floods_forged_log_lines": _forges,
    "files_plant_symlinks": _restarts,
    "floods_poisoned_mirror": _restarts,
    "endings_daemon_after_server": _kills_server,
    "endings_worker_after_server": _kills_server,
    **{name: _restarts for name in ATTACKS if name.startswith("persistence_")},
}
