"""Making the programs again gives what is shipped."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pytest

from engine.sandbox import seccomp
from engine.sandbox.seccomp.rules import VARIANTS, read_policy
from tests import bpf

try:
    from engine.sandbox.seccomp import generate
except (ImportError, OSError, RuntimeError):  # whatever the binding says without the library
    pytest.skip("needs libseccomp", allow_module_level=True)

FOLDER = Path(seccomp.__file__).parent
TABLE = json.loads((FOLDER / "numbers.json").read_text(encoding="utf-8"))
CASES = list(product(seccomp.ARCHITECTURES, VARIANTS))
INTERESTING = (0, 1, 2, 6, 10, 0x5401, 0x5412, 0x10900, 0x3D0F00, 0x2000_0011, 2**32 - 1)


def made(arch: str, variant: str) -> bytes:
    text = (FOLDER / "policy.toml").read_text(encoding="utf-8")
    return generate.compile_policy(read_policy(text, variant), arch)


def decisions(program: bytes, arch: str) -> list[int]:
    decoded = bpf.decode(program)
    return [
        bpf.run(decoded, bpf.shown(arch, number, arguments))
        for number in range(500)
        for arguments in product(INTERESTING[:6], repeat=2)
    ] + [
        bpf.run(decoded, bpf.shown(arch, number, (argument, argument, 0, argument)))
        for number in range(500)
        for argument in INTERESTING
    ]


@pytest.mark.parametrize(("arch", "variant"), CASES)
def test_programs_are_made_again_byte_for_byte(arch: str, variant: str) -> None:
    if generate.libseccomp_version() != TABLE["libseccomp"]:
        pytest.skip("another libseccomp orders the tree in its own way")

    assert made(arch, variant) == (FOLDER / f"{arch}-{variant}.bpf").read_bytes()


@pytest.mark.parametrize(("arch", "variant"), CASES)
def test_programs_made_again_decide_alike(arch: str, variant: str) -> None:
    shipped = (FOLDER / f"{arch}-{variant}.bpf").read_bytes()
    again = made(arch, variant)

    assert again == shipped or decisions(again, arch) == decisions(shipped, arch)


@pytest.mark.parametrize("arch", seccomp.ARCHITECTURES)
def test_numbers_that_are_shipped_are_those_of_the_library(arch: str) -> None:
    known = generate.numbers(arch, max(TABLE[arch].values()))

    assert {call: known[call] for call in TABLE[arch] if call in known} == {
        call: number for call, number in TABLE[arch].items() if call in known
    }
    assert len(known) > 300
