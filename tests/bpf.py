"""Runs a filter of system calls as the kernel would, on one call at a time."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
ALLOW = 0x7FFF_0000
KILL_PROCESS = 0x8000_0000
AUDIT = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7, "i386": 0x4000_0003}
ERRNO = 0x0005_0000

_LOAD, _AND, _ALWAYS, _RETURN = 0x20, 0x54, 0x05, 0x06
_TESTS: dict[int, Callable[[int, int], bool]] = {
    0x15: lambda value, operand: value == operand,
    0x25: lambda value, operand: value > operand,
    0x35: lambda value, operand: value >= operand,
    0x45: lambda value, operand: bool(value & operand),
}

Program = list[tuple[int, int, int, int]]


def decode(program: bytes) -> Program:
    return list(struct.iter_unpack("<HBBI", program))


def shown(arch: str, number: int, arguments: Sequence[int] = ()) -> bytes:
    """Return what the kernel shows to a filter: number, architecture, address, six arguments."""
    words = [argument & (1 << 64) - 1 for argument in (*arguments, *[0] * 6)]
    return struct.pack("<IIQ6Q", number & 0xFFFF_FFFF, AUDIT[arch], 0, *words[:6])


def run(program: Program, data: bytes) -> int:
    """Return the verdict: what the filter returns."""
    value = here = 0
    while True:
        code, then, otherwise, operand = program[here]
        here += 1
        if code == _RETURN:
            return operand
        if code == _LOAD:
            (value,) = struct.unpack_from("<I", data, operand)
        elif code == _AND:
            value &= operand
        elif code == _ALWAYS:
            here += operand
        else:
            here += then if _TESTS[code](value, operand) else otherwise
