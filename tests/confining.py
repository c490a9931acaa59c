"""Children that confine themselves as a worker does, and say what they can still do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import numpy as np

ROOT = Path(__file__).parent.parent
NUMBERS = ROOT / "engine/sandbox/seccomp/numbers.json"
SITE_PACKAGES = Path(np.__file__).parent.parent

_PRELUDE = """
import sys
sys.path.insert(0, ROOT)
import ctypes, errno, json, os, signal, socket, threading
from worker import confine, landlock

FOLDERS = ["/usr", "/lib", "/lib64", "/etc", "/proc", sys.base_prefix, SITE_PACKAGES]
SYSTEM = [(folder, "read") for folder in FOLDERS] + [("/dev/null", "device")]
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

def name(number):
    return errno.errorcode.get(number, number)

def tried(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return name(error.errno)
    return "done"

def raw(number, *arguments):
    words = [ctypes.c_ulong(argument) for argument in arguments]
    return "done" if libc.syscall(ctypes.c_long(number), *words) >= 0 else name(ctypes.get_errno())

def program(variant):
    path = f"{ROOT}/engine/sandbox/seccomp/{os.uname().machine}-{variant}.bpf"
    with open(path, "rb") as file:
        return file.read()

NUMBERS = json.loads(NUMBERS)[os.uname().machine]
"""


def run_child(code: str, **given: object) -> subprocess.CompletedProcess[str]:
    """Run code after the prelude in an interpreter without an environment.

    Args:
        code: sees what the prelude defines.
        given: more names it sees, JSON values.
    """
    names = {
        "ROOT": str(ROOT),
        "SITE_PACKAGES": str(SITE_PACKAGES),
        "NUMBERS": NUMBERS.read_text(encoding="utf-8"),
        **given,
    }
    head = "".join(f"{name} = {value!r}\n" for name, value in names.items())
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", head + _PRELUDE + dedent(code)],
        check=False,
        capture_output=True,
        text=True,
        timeout=50,
        env={"OMP_NUM_THREADS": "2", "PATH": os.defpath},
    )


def child(code: str, **given: object) -> object:
    """Run code as `run_child` does and return what it has put into `answer`."""
    done = run_child(dedent(code) + "\nprint(json.dumps(answer))\n", **given)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
