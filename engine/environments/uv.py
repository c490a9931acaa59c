"""uv as the installer, which comes with the server.

    lock    uv pip compile --generate-hashes       online, then from the cache when nobody answers
    build   uv venv --relocatable; uv pip sync --require-hashes    from the cache, then online
    check   uv pip check

Only wheels are taken. Where the operator lets packages be built from source, that is tried last,
with a cache of its own that is thrown away: foreign code runs then, which must not reach what all
share.
Any thread may call.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import uv

from engine.environments.backend import NOTHING_ASKED, Supply, Workplace, read_answer
from engine.environments.failures import (
    PackagesUnavailable,
    failure_in,
    is_uncached,
    is_unreachable,
    unreachable,
)
from engine.environments.interpreters import Interpreter
from engine.environments.locktext import canonical
from engine.environments.running import Command
from engine.model.lock import Asked, Lock

__all__ = ["Uv"]

log = logging.getLogger(__name__)
_COMMON = ("--no-config", "--no-python-downloads", "--color", "never", "--no-progress")
_ONLY_WHEELS = ("--only-binary", ":all:")
# An index that does not answer is given up after some seconds, not after minutes.
_VARIABLES = {
    "UV_HTTP_RETRIES": "1",
    "UV_HTTP_CONNECT_TIMEOUT": "4",
    "UV_LOCK_TIMEOUT": "120",
}
# Of silence: pages of an index come at once, files from afar may stall.
_PAGE_TIMEOUT_S = 8
_FILE_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class _Step:
    """A program of uv, and what it needs.

    Args:
        argv: without the options that tell where packages come from.
        asked: what it is about.
        link: how files come from the cache into an environment.
    """

    argv: tuple[str, ...]
    interpreter: Interpreter
    place: Workplace
    asked: Asked = NOTHING_ASKED
    link: str = ""


class Uv:
    """Locks and builds with uv; see `Backend`.

    Args:
        supply: where packages come from.
        program: uv itself; the one that is installed beside the server when None.
    """

    def __init__(self, supply: Supply, program: Path | None = None) -> None:
        self._supply = supply
        self._program = (program or Path(uv.find_uv_bin())).resolve()

    def lock(self, asked: Asked, interpreter: Interpreter, place: Workplace, kept: str = "") -> str:
        """Find versions that go together; see `Backend`."""
        wanted, answer = place.folder / "asked.txt", place.folder / "lock.txt"
        wanted.write_text("".join(f"{one}\n" for one in asked.requirements))
        answer.write_text(kept)
        argv: tuple[str, ...] = (
            "pip",
            "compile",
            str(wanted),
            "-o",
            str(answer),
            "--quiet",
            "--generate-hashes",
        )
        argv = (*argv, "--no-header", "--no-annotate", "--python", str(interpreter.path))
        step = _Step(argv, interpreter, place, asked)
        try:
            self._from_wheels(step, is_near_first=False)
        except PackagesUnavailable:
            if not self._supply.build_from_source:
                raise
            self._from_source(step)
        return canonical(read_answer(answer))

    def build(self, lock: Lock, interpreter: Interpreter, place: Workplace) -> Path:
        """Make a virtual environment; see `Backend`."""
        listed = place.folder / "lock.txt"
        listed.write_text(lock.text)
        # Files are linked within one mount only, which the cache is.
        tree = self._supply.building(place.folder) if self._supply.links else place.folder / "tree"
        link = "hardlink" if self._supply.links else "copy"
        try:
            self._make(tree, interpreter, place)
            if lock.text:
                step = _Step(_sync(listed, tree), interpreter, place, link=link)
                self._from_wheels(step, is_near_first=True)
        except PackagesUnavailable:
            if not self._supply.build_from_source:
                raise
            tree = place.folder / "built"
            self._make(tree, interpreter, place)
            self._from_source(_Step(_sync(listed, tree), interpreter, place, link="copy"))
        return tree

    def check(self, interpreter: Interpreter, tree: Path, place: Workplace) -> None:
        """Have the packages checked against each other; see `Backend`."""
        argv = ("pip", "check", "--python", str(tree / "bin" / "python"))
        place.do(
            Command(
                argv=(str(self._program), *argv, *_COMMON, "--no-cache"),
                reads=(*interpreter.reads, tree),
                only_looks=True,
                timeout_s=self._supply.timeout_s,
            )
        )

    def fetch(self, lock: str, interpreter: Interpreter, place: Workplace) -> Path:
        """Install packages into a folder; see `Backend`."""
        listed, target = place.folder / "lock.txt", place.folder / "target"
        listed.write_text(lock)
        argv: tuple[str, ...] = ("pip", "install", "-r", str(listed), "--require-hashes")
        argv = (*argv, "--no-deps", "--python", str(interpreter.path), "--target", str(target))
        step = _Step(argv, interpreter, place, link="copy")
        self._from_wheels(step, is_near_first=True)
        return target

    def _make(self, tree: Path, interpreter: Interpreter, place: Workplace) -> None:
        argv: tuple[str, ...] = ("venv", "--quiet", "--relocatable", "--no-project")
        argv = (*argv, "--python", str(interpreter.path), str(tree))
        place.do(self._command(_Step(argv, interpreter, place)))

    def _from_wheels(self, step: _Step, *, is_near_first: bool) -> None:
        """Run a program with what the folder of wheels, or cache and index, have."""
        if self._supply.wheel_dir is not None:
            step.place.do(self._command(step, *_ONLY_WHEELS, *self._nowhere()), step.asked)
            return
        near = self._command(step, *_ONLY_WHEELS, "--offline")
        far = self._command(step, *_ONLY_WHEELS, network=True)
        if is_near_first:
            _near_first(step, near, far)
        else:
            _far_first(step, near, far)

    def _from_source(self, step: _Step) -> None:
        step.place.on_line("not everything has a wheel; building from source")
        network = self._supply.wheel_dir is None
        command = self._command(step, *self._nowhere(), network=network, is_apart=True)
        step.place.do(command, step.asked)

    def _nowhere(self) -> tuple[str, ...]:
        """Return the options that leave the index out, where there is a folder of wheels."""
        folder = self._supply.wheel_dir
        return () if folder is None else ("--no-index", "--find-links", str(folder))

    def _command(
        self, step: _Step, *options: str, network: bool = False, is_apart: bool = False
    ) -> Command:
        folder = step.place.folder
        cache = folder / "cache" if is_apart else self._supply.packages
        link = ("--link-mode", step.link) if step.link else ()
        silence_s = _PAGE_TIMEOUT_S if "compile" in step.argv else _FILE_TIMEOUT_S
        return Command(
            argv=(str(self._program), *step.argv, *_COMMON, *link, *options),
            reads=(*step.interpreter.reads, *self._supply.reads),
            writes=(folder,) if is_apart else (self._supply.cache_dir, folder),
            variables={
                **_unless_given({**_VARIABLES, "UV_HTTP_TIMEOUT": str(silence_s)}),
                "UV_CACHE_DIR": str(cache),
            },
            network=network,
            runs_packages=is_apart,
            timeout_s=self._supply.timeout_s,
        )


def _sync(listed: Path, tree: Path) -> tuple[str, ...]:
    python = str(tree / "bin" / "python")
    return ("pip", "sync", str(listed), "--require-hashes", "--python", python)


def _unless_given(variables: dict[str, str]) -> dict[str, str]:
    """Leave out what the operator has set, whose index may be slow."""
    return {name: value for name, value in variables.items() if name not in os.environ}


def _near_first(step: _Step, near: Command, far: Command) -> None:
    missed = step.place.attempt(near)
    if missed.status == 0:
        return
    if not is_uncached(missed.output):
        raise failure_in(missed.status, missed.output, step.asked)
    told = step.place.attempt(far)
    if told.status == 0:
        return
    if is_unreachable(told.output):
        raise unreachable(told.output, missed.output)
    raise failure_in(told.status, told.output, step.asked)


def _far_first(step: _Step, near: Command, far: Command) -> None:
    told = step.place.attempt(far)
    if told.status == 0:
        return
    if not is_unreachable(told.output):
        raise failure_in(told.status, told.output, step.asked)
    step.place.on_line("the package index cannot be reached; looking into the cache")
    missed = step.place.attempt(near)
    if missed.status != 0:
        raise unreachable(told.output, missed.output)
    log.warning("locked from the cache, as the package index cannot be reached")
