"""Persistence: leaving code behind that runs later, elsewhere, or before the locks are in place.

A safe engine lets a worker write nothing that any start of a worker reads: not the environment,
not the runtime, not a folder on the path of modules. Judged from outside: the workers of this
trigger and of the other one are restarted and asked whether they have met planted code.
"""

from __future__ import annotations

import os
import site
import sys
from pathlib import Path

from .catalog import Local, World, attack
from .wire import engine_code

_PLANT = "import builtins; builtins.escape_planted = {by!r}\n"
_VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"


def _plant(target: Path) -> str:
    """Write a file that says at its import where it was planted."""
    # Where there is no sandbox, the machine that runs the tests is to survive them.
    assert not target.resolve().is_relative_to(Path(sys.base_prefix).resolve()), target
    line = _PLANT.format(by=str(target))
    with target.open("a") as file:
        file.write(line)
    return f"wrote {target}"


@attack(is_lasting=True)
def path_file(world: World, local: Local) -> str | None:
    """Try: a .pth file in the environment, which runs at each start. Safe: read-only."""
    packages = Path(os.environ["VIRTUAL_ENV"], "lib", _VERSION, "site-packages")
    return _plant(packages / "escape.pth")


@attack(is_lasting=True)
def site_customize(world: World, local: Local) -> str | None:
    """Try: sitecustomize in the environment. Safe: read-only."""
    packages = Path(os.environ["VIRTUAL_ENV"], "lib", _VERSION, "site-packages")
    return _plant(packages / "sitecustomize.py")


@attack()
def base_packages(world: World, local: Local) -> str | None:
    """Try: a module in the interpreter's own folders. Safe: read-only."""
    for folder in [*site.getsitepackages([sys.base_prefix]), os.path.dirname(os.__file__)]:
        target = Path(folder, f"{world.mark}.py")
        try:
            target.write_text("")
        except OSError:
            continue
        target.unlink()
        return f"wrote {target}"
    return None


@attack(is_lasting=True)
def runtime_folder(world: World, local: Local) -> str | None:
    """Try: change the worker's own code, which runs before any lock. Safe: read-only."""
    return _plant(Path(engine_code()["__file__"]))


@attack(is_lasting=True)
def interpreter_settings(world: World, local: Local) -> str | None:
    """Try: pyvenv.cfg, which says where the interpreter finds its library. Safe: read-only."""
    target = Path(os.environ["VIRTUAL_ENV"], "pyvenv.cfg")
    text = target.read_text()
    target.write_text(text)
    return f"wrote {target}"


@attack(is_lasting=True)
def interpreter_program(world: World, local: Local) -> str | None:
    """Try: exchange the interpreter that the next worker is started with. Safe: read-only."""
    target = Path(os.environ["VIRTUAL_ENV"], "bin", "python")
    aside = target.with_name("python.aside")
    target.rename(aside)
    aside.rename(target)
    return "moved the interpreter and back"


@attack(is_lasting=True)
def own_environment(world: World, local: Local) -> str | None:
    """Try: an environment in the own folder, where the plugins' one is to be seen. Safe: not used.

    What is there already is moved aside; the folder is the trigger's own.
    """
    own = Path(os.environ["PLUGIN_DIR"], ".venv")
    if own.exists() or own.is_symlink():
        own.rename(own.with_name(f".venv.{world.mark}"))
    packages = own / "lib" / _VERSION / "site-packages"
    packages.mkdir(parents=True)
    _plant(packages / "escape.pth")
    _plant(packages / "sitecustomize.py")
    return None


@attack(is_lasting=True)
def modules_beside(world: World, local: Local) -> str | None:
    """Try: modules of names that a start imports, in folders that are searched. Safe: not used."""
    places = (os.environ["PLUGIN_DIR"], os.environ["HOME"], os.getcwd())
    names = ("sitecustomize", "usercustomize", "zmq", "msgpack", "worker", "encodings", "victim")
    for place in set(places):
        for name in names:
            try:
                _plant(Path(place, f"{name}.py"))
            except OSError:
                continue
    return None


@attack(is_lasting=True)
def user_packages(world: World, local: Local) -> str | None:
    """Try: packages of the user, below the home folder. Safe: not used."""
    packages = Path(os.environ["HOME"], ".local", "lib", _VERSION, "site-packages")
    packages.mkdir(parents=True)
    _plant(packages / "escape.pth")
    _plant(packages / "usercustomize.py")
    return None


@attack(is_lasting=True)
def bytecode(world: World, local: Local) -> str | None:
    """Try: exchange compiled code of the environment or the runtime. Safe: read-only."""
    cached = Path(engine_code()["__cached__"])
    code = cached.read_bytes()
    cached.write_bytes(code)
    return f"wrote {cached}"


@attack(is_lasting=True)
def own_plugin(world: World, local: Local) -> str | None:
    """Try: stand code in the place of the own plugin, so that it stays when that is repaired.

    Safe: a restarted worker runs what the plugin folder of the server holds.
    """
    own = Path(os.environ["PLUGIN_DIR"], "attacks")
    own.rename(own.with_name(f"attacks.{world.mark}"))
    own.mkdir()
    for path in own.with_name(f"attacks.{world.mark}").iterdir():
        if path.suffix == ".py":
            (own / path.name).write_text(path.read_text())
    _plant(own / "kernel.py")
    return None
