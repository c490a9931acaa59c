"""Makes the programs from the policy: `python -m engine.sandbox.seccomp.generate`.

libseccomp compiles the rules to a binary tree over the numbers. Before it we put a few
instructions that say "no such call" to numbers that the policy does not know:

    load arch; not ours -> tree, which kills       load nr; x32 -> tree, which kills
    nr in an unassigned range -> ENOSYS            nr > newest -> ENOSYS             -> tree

Needs libseccomp and its binding, a requirement of development only. Writes `numbers.json` too:
which number has which name and which libseccomp compiled, so that tests can judge without it.
"""

from __future__ import annotations

import ctypes
import errno
import io
import json
import struct
import tempfile
from pathlib import Path

import pyseccomp

from engine.sandbox.seccomp import ARCHITECTURES
from engine.sandbox.seccomp.rules import VARIANTS, Policy, Rule, read_policy

__all__ = ["compile_policy", "libseccomp_version", "main", "numbers"]

_HERE = Path(__file__).parent
_TREE = 2  # of SCMP_FLTATR_CTL_OPTIMIZE

# Of an architecture in the data that the kernel shows to a filter.
_AUDIT = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
_X32 = 0x4000_0000

_LOAD, _JEQ, _JGE, _JGT, _RETURN = 0x20, 0x15, 0x35, 0x25, 0x06
_NR, _ARCH = 0, 4
_MISSING = 0x0005_0000 | errno.ENOSYS


class _Version(ctypes.Structure):
    _fields_ = (("major", ctypes.c_uint), ("minor", ctypes.c_uint), ("micro", ctypes.c_uint))


def libseccomp_version() -> str:
    """Return the version of the library that compiles."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_version.restype = ctypes.POINTER(_Version)
    version = library.seccomp_version().contents
    return f"{version.major}.{version.minor}.{version.micro}"


def numbers(arch: str, newest: int) -> dict[str, int]:
    """Return the number of every call of an architecture, by name, up to the newest."""
    token = _token(arch)
    found = {}
    for number in range(newest + 1):
        try:
            found[pyseccomp.resolve_syscall(token, number).decode()] = number
        except (OSError, ValueError):
            continue  # no call has it
    return found


def compile_policy(policy: Policy, arch: str) -> bytes:
    """Return the program of a policy for an architecture."""
    seccomp = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.EPERM))
    seccomp.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    seccomp.set_attr(pyseccomp.Attr.CTL_OPTIMIZE, _TREE)
    if pyseccomp.system_arch() != _token(arch):
        seccomp.add_arch(_token(arch))
        seccomp.remove_arch(pyseccomp.system_arch())
    known = numbers(arch, policy.newest)
    for rule in policy.rules:
        if rule.call in known:
            _add(seccomp, rule)
    with tempfile.TemporaryFile() as file:
        seccomp.export_bpf(file)
        file.seek(0)
        tree = file.read()
    return _head(arch, policy) + tree


def _token(arch: str) -> int:
    return int(getattr(pyseccomp.Arch, arch.upper()))


def _add(seccomp: pyseccomp.SyscallFilter, rule: Rule) -> None:
    action = pyseccomp.ERRNO(errno.ENOSYS) if rule.action == "missing" else pyseccomp.ALLOW
    arguments = [
        pyseccomp.Arg(argument.index, pyseccomp.MASKED_EQ, argument.mask, argument.value)
        for argument in rule.arguments
    ]
    seccomp.add_rule_exactly(action, rule.call, *arguments)


def _head(arch: str, policy: Policy) -> bytes:
    """Return the instructions before the tree; jumps count the instructions passed over."""
    lines: list[tuple[int, str, str, int]] = [
        (_LOAD, "", "", _ARCH),
        (_JEQ, "", "tree", _AUDIT[arch]),
        (_LOAD, "", "", _NR),
    ]
    if arch == "x86_64":
        lines.append((_JGE, "tree", "", _X32))
    lines.append((_JGT, "missing", "", policy.newest))
    for first, last in policy.unassigned[arch]:
        # Below the first: on to the next test. Not beyond the last: missing.
        lines += [(_JGE, "", "skip", first), (_JGT, "", "missing", last)]
    lines += [(_JEQ, "tree", "tree", 0), (_RETURN, "", "", _MISSING)]
    program = io.BytesIO()
    for here, (code, then, otherwise, operand) in enumerate(lines):
        after = {"": 0, "skip": 1, "missing": len(lines) - here - 2, "tree": len(lines) - here - 1}
        program.write(struct.pack("<HBBI", code, after[then], after[otherwise], operand))
    return program.getvalue()


def main() -> None:
    """Write all programs and the table of numbers beside the policy."""
    text = (_HERE / "policy.toml").read_text(encoding="utf-8")
    table: dict[str, object] = {"libseccomp": libseccomp_version()}
    for arch in ARCHITECTURES:
        for variant in VARIANTS:
            policy = read_policy(text, variant)
            (_HERE / f"{arch}-{variant}.bpf").write_bytes(compile_policy(policy, arch))
            table[arch] = numbers(arch, policy.newest)
    written = json.dumps(table, indent=1) + "\n"
    (_HERE / "numbers.json").write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
