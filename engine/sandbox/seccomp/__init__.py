"""The filters of system calls: a policy to read, and programs made from it.

`policy.toml` says what a worker may call and why. `python -m engine.sandbox.seccomp.generate`
makes the programs from it, `<arch>-<variant>.bpf`, which lie here and are shipped; a server only
loads them. Those for x86_64 run in the tests; those for aarch64 are evaluated there call by call,
but have not been run on such a machine. Threads: any.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["ARCHITECTURES", "load", "variant"]

ARCHITECTURES = ("x86_64", "aarch64")

_HERE = Path(__file__).parent


def variant(*, subprocess: bool, network: bool) -> str:
    """Return the name of the variant for a trigger's grants."""
    flags = (("network", network), ("subprocess", subprocess))
    names = [name for name, granted in flags if granted]
    return "-".join(names) or "plain"


def load(arch: str, *, subprocess: bool, network: bool) -> bytes:
    """Return the program for the kernel.

    Args:
        arch: as `os.uname().machine` says it.
        subprocess: programs may be started and processes forked.
        network: TCP connections may be made.

    Raises:
        ValueError: there are no programs for the architecture.
    """
    if arch not in ARCHITECTURES:
        raise ValueError(f"no seccomp filter is made for {arch}, only for {ARCHITECTURES}")
    name = f"{arch}-{variant(subprocess=subprocess, network=network)}.bpf"
    return (_HERE / name).read_bytes()
