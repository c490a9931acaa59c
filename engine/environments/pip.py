"""pip as the installer, the one of the Python that an environment is for.

    lock    pip install --dry-run --report      what it would install, with the hash of each wheel
    build   python -m venv --without-pip; pip --python TREE install --no-deps --require-hashes
    check   pip --python TREE check

Slower than uv, without links between environments, and it needs the index whenever something is
built. Only the variables say where that is, as with uv: pip's own files of settings are left out.
Any thread may call.
"""

from __future__ import annotations

from pathlib import Path

from engine.environments.backend import NOTHING_ASKED, Supply, Workplace, read_answer
from engine.environments.failures import PackagesUnavailable
from engine.environments.interpreters import Interpreter
from engine.environments.locktext import from_report
from engine.environments.running import Command
from engine.model.lock import Asked, Lock, packages_of

__all__ = ["Pip"]

_PIP = ("-I", "-m", "pip")
_ONLY_WHEELS = ("--only-binary", ":all:")
_VARIABLES = {
    "PIP_CONFIG_FILE": "/dev/null",
    "PIP_DEFAULT_TIMEOUT": "15",
    "PIP_TIMEOUT": "15",
    "PIP_RETRIES": "1",
    "PIP_NO_INPUT": "1",
    "PIP_NO_COLOR": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_PROGRESS_BAR": "off",
}
# Scripts and settings of an environment name its path, which is another when it is in service.
_MOVE = """\
import os, sys
tree, home = (os.fsencode(path) for path in sys.argv[1:])
names = [os.path.join(tree, b"bin", name) for name in os.listdir(os.path.join(tree, b"bin"))]
for path in [*names, os.path.join(tree, b"pyvenv.cfg")]:
    if os.path.isfile(path) and not os.path.islink(path):
        with open(path, "r+b") as file:
            text = file.read()
            file.seek(0)
            file.write(text.replace(tree, home))
            file.truncate()
"""


class Pip:
    """Locks and builds with pip; see `Backend`."""

    def __init__(self, supply: Supply) -> None:
        self._supply = supply

    def lock(self, asked: Asked, interpreter: Interpreter, place: Workplace, kept: str = "") -> str:
        """Find versions that go together; see `Backend`."""
        report, constraints = place.folder / "report.json", place.folder / "kept.txt"
        pins = (f"{name}=={version}\n" for name, version in packages_of(kept).items())
        constraints.write_text("".join(pins))
        argv = ("install", "--dry-run", "--ignore-installed", "--report", str(report))
        wanted = ("--", *asked.requirements)
        try:
            self._get((*argv, "-c", str(constraints), *wanted), interpreter, place, asked)
        except PackagesUnavailable:
            if not kept:
                raise
            self._get((*argv, *wanted), interpreter, place, asked)
        return from_report(read_answer(report))

    def build(self, lock: Lock, interpreter: Interpreter, place: Workplace) -> Path:
        """Make a virtual environment; see `Backend`."""
        tree, listed = place.folder / "tree", place.folder / "lock.txt"
        place.do(
            self._command(("-I", "-m", "venv", "--without-pip", str(tree)), interpreter, place)
        )
        if lock.text:
            listed.write_text(lock.text)
            argv: tuple[str, ...] = (
                "--python",
                str(tree / "bin" / "python"),
                "install",
                "--no-deps",
            )
            argv = (*argv, "--no-compile", "--require-hashes", "-r", str(listed))
            self._get(argv, interpreter, place, NOTHING_ASKED)
        moving = ("-I", "-S", "-c", _MOVE, str(tree), str(place.home))
        place.do(self._command(moving, interpreter, place))
        return tree

    def check(self, interpreter: Interpreter, tree: Path, place: Workplace) -> None:
        """Have the packages checked against each other; see `Backend`."""
        argv = (*_PIP, "--python", str(tree / "bin" / "python"), "check")
        place.do(
            Command(
                argv=(str(interpreter.path), *argv, "--no-cache-dir"),
                reads=(*interpreter.reads, tree),
                variables=_VARIABLES,
                only_looks=True,
                timeout_s=self._supply.timeout_s,
            )
        )

    def fetch(self, lock: str, interpreter: Interpreter, place: Workplace) -> Path:
        """Install packages into a folder; see `Backend`."""
        listed, target = place.folder / "lock.txt", place.folder / "target"
        listed.write_text(lock)
        argv = ("install", "-r", str(listed), "--require-hashes", "--no-deps", "--no-compile")
        self._get((*argv, "--target", str(target)), interpreter, place, NOTHING_ASKED)
        return target

    def _get(
        self, argv: tuple[str, ...], interpreter: Interpreter, place: Workplace, asked: Asked
    ) -> None:
        """Install from wheels, or from source where that is allowed and needed."""
        folder = self._supply.wheel_dir
        origin = () if folder is None else ("--no-index", "--find-links", str(folder))
        at = argv.index("install") + 1
        wheels = (*_PIP, *argv[:at], *_ONLY_WHEELS, *origin, *argv[at:])
        network = folder is None
        try:
            place.do(self._command(wheels, interpreter, place, network=network), asked)
        except PackagesUnavailable:
            if not self._supply.build_from_source:
                raise
            place.on_line("not everything has a wheel; building from source")
            source = (*_PIP, *argv[:at], *origin, *argv[at:])
            command = self._command(source, interpreter, place, network=network, is_apart=True)
            place.do(command, asked)

    def _command(
        self,
        argv: tuple[str, ...],
        interpreter: Interpreter,
        place: Workplace,
        *,
        network: bool = False,
        is_apart: bool = False,
    ) -> Command:
        folder = place.folder
        cache = folder / "cache" if is_apart else self._supply.cache_dir / "pip"
        return Command(
            argv=(str(interpreter.path), *argv),
            reads=(*interpreter.reads, *self._supply.reads),
            writes=(folder,) if is_apart else (self._supply.cache_dir, folder),
            variables={**_VARIABLES, "PIP_CACHE_DIR": str(cache)},
            network=network,
            runs_packages=is_apart,
            timeout_s=self._supply.timeout_s,
        )
