"""The programs that are shipped, run on every call and judged against the policy."""

from __future__ import annotations

import errno
import json
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sandbox import seccomp
from engine.sandbox.seccomp.rules import VARIANTS, Policy, Rule, read_policy
from tests import bpf

FOLDER = Path(seccomp.__file__).parent
BEYOND = 520
EPERM = bpf.ERRNO | errno.EPERM
ENOSYS = bpf.ERRNO | errno.ENOSYS
CASES = [(arch, variant) for arch in seccomp.ARCHITECTURES for variant in VARIANTS]
# What no plugin needs.
REFUSED = """
mount umount2 pivot_root chroot unshare setns ptrace process_vm_readv process_vm_writev
pidfd_getfd kcmp keyctl add_key request_key bpf perf_event_open userfaultfd io_uring_setup
io_uring_enter io_uring_register quotactl quotactl_fd kexec_load init_module finit_module
delete_module shmget shmat semget msgget mq_open clock_settime settimeofday adjtimex
clock_adjtime setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid
capset open_by_handle_at name_to_handle_at fanotify_init execveat memfd_create memfd_secret
vmsplice splice tee mount_setattr fsopen move_mount open_tree seccomp syslog reboot sethostname
swapon acct sync syncfs process_madvise move_pages migrate_pages mbind set_mempolicy setxattr
removexattr rt_sigqueueinfo sched_setattr ioprio_set vhangup mlockall
io_setup
"""
Arguments = tuple[int, ...]


@cache
def numbers(arch: str) -> dict[str, int]:
    table = json.loads((FOLDER / "numbers.json").read_text(encoding="utf-8"))
    return dict(table[arch])


@cache
def policy_of(variant: str) -> Policy:
    return read_policy((FOLDER / "policy.toml").read_text(encoding="utf-8"), variant)


@cache
def program_of(arch: str, variant: str) -> bpf.Program:
    words = variant.split("-")
    return bpf.decode(
        seccomp.load(arch, subprocess="subprocess" in words, network="network" in words),
    )


def verdict(arch: str, variant: str, number: int, arguments: Arguments = ()) -> int:
    return bpf.run(program_of(arch, variant), bpf.shown(arch, number, arguments))


def of(arch: str, variant: str, call: str, *arguments: int) -> str:
    result = verdict(arch, variant, numbers(arch)[call], arguments)
    return {bpf.ALLOW: "allowed", EPERM: "EPERM", ENOSYS: "ENOSYS"}[result]


def holds(rule: Rule, arguments: Arguments) -> bool:
    return all(arguments[a.index] & a.mask == a.value for a in rule.arguments)


def expected(arch: str, policy: Policy, number: int, arguments: Arguments) -> int:
    if arch == "x86_64" and number >= 0x4000_0000:
        return bpf.KILL_PROCESS
    ranges = policy.unassigned[arch]
    if number > policy.newest or any(first <= number <= last for first, last in ranges):
        return ENOSYS
    rules = [rule for rule in policy.rules if numbers(arch).get(rule.call) == number]
    if any(rule.action == "missing" for rule in rules):
        return ENOSYS
    return bpf.ALLOW if any(holds(rule, arguments) for rule in rules) else EPERM


def around(rule: Rule) -> Iterator[Arguments]:
    """Yield arguments that a rule allows, and those that differ from them in one bit."""
    words = [0] * 6
    for argument in rule.arguments:
        words[argument.index] = argument.value
    yield tuple(words)
    for index, bit in product({argument.index for argument in rule.arguments}, range(64)):
        yield (*words[:index], words[index] ^ 1 << bit, *words[index + 1 :])


@pytest.mark.parametrize(("arch", "variant"), CASES)
def test_every_number_is_judged_as_the_policy_says(arch: str, variant: str) -> None:
    policy = policy_of(variant)
    odd = [0x3FFF_FFFF, 0x4000_0000, 0x4000_0000 + 39, 0x7FFF_FFFF]

    wrong = [
        (number, hex(got), hex(due))
        for number in [*range(BEYOND), *odd]
        for got in [verdict(arch, variant, number)]
        for due in [expected(arch, policy, number, (0,) * 6)]
        if got != due
    ]

    assert wrong == []


@pytest.mark.parametrize(("arch", "variant"), CASES)
def test_every_bit_of_an_argument_counts_as_the_policy_says(arch: str, variant: str) -> None:
    policy = policy_of(variant)
    wrong = []
    for rule in policy.rules:
        number = numbers(arch).get(rule.call)
        for arguments in around(rule) if rule.arguments and number is not None else ():
            got = verdict(arch, variant, number, arguments)
            if got != expected(arch, policy, number, arguments):
                wrong.append((rule.call, arguments, hex(got)))

    assert wrong == []


@given(
    case=st.sampled_from(CASES),
    number=st.integers(0, BEYOND),
    arguments=st.tuples(*[st.integers(0, 2**64 - 1) | st.integers(0, 70)] * 6),
)
def test_any_call_is_judged_as_the_policy_says(
    case: tuple[str, str],
    number: int,
    arguments: Arguments,
) -> None:
    arch, variant = case

    due = expected(arch, policy_of(variant), number, arguments)

    assert verdict(arch, variant, number, arguments) == due


@pytest.mark.parametrize(("arch", "variant"), CASES)
def test_another_instruction_set_is_killed(arch: str, variant: str) -> None:
    others = [other for other in bpf.AUDIT if other != arch]

    got = {bpf.run(program_of(arch, variant), bpf.shown(o, n)) for o in others for n in range(500)}

    assert got == {bpf.KILL_PROCESS}


@pytest.mark.parametrize(("arch", "variant"), CASES)
def test_what_no_plugin_needs_is_refused_in_every_variant(arch: str, variant: str) -> None:
    refused = REFUSED.split()

    assert {call: of(arch, variant, call) for call in refused} == dict.fromkeys(refused, "EPERM")


@pytest.mark.parametrize(("arch", "variant"), CASES)
def test_calls_whose_flags_cannot_be_seen_look_missing(arch: str, variant: str) -> None:
    assert {of(arch, variant, call) for call in ("clone3", "openat2")} == {"ENOSYS"}


@pytest.mark.parametrize("arch", seccomp.ARCHITECTURES)
@pytest.mark.parametrize(
    ("call", "arguments", "allowed_in"),
    [
        ("clone", (0x3D0F00,), "plain subprocess network network-subprocess"),  # pthread_create
        ("clone", (0x3D0F00 | 0x1000_0000,), ""),  # with NEWUSER
        ("clone", (0x3D0F00 | 0x0002_0000,), ""),  # with NEWNS
        ("clone", (0x0120_0011,), "subprocess network-subprocess"),  # fork
        ("clone", (0x4111,), "subprocess network-subprocess"),  # posix_spawn
        ("clone", (0x8011,), ""),  # a brother
        ("clone", (0x2000_0011,), ""),  # NEWPID
        ("execve", (), "subprocess network-subprocess"),
        ("socketpair", (1, 0x80801, 0), "plain subprocess network network-subprocess"),
        ("socketpair", (1, 2, 0), ""),  # datagrams
        ("socket", (1, 0x80001, 0), "subprocess network-subprocess"),
        ("socket", (1, 2, 0), ""),
        ("socket", (2, 0x80001, 6), "network network-subprocess"),
        ("socket", (10, 1, 0), "network network-subprocess"),
        ("socket", (2, 2, 0), ""),  # UDP
        ("socket", (2, 3, 255), ""),  # raw
        ("socket", (2, 1, 262), ""),  # MPTCP
        ("socket", (40, 1, 0), ""),  # vsock
        ("socket", (16, 3, 0), ""),  # netlink
        ("socket", (17, 3, 0), ""),  # packets
        ("socket", (38, 5, 0), ""),  # the kernel's ciphers
        ("connect", (), "subprocess network network-subprocess"),
        ("listen", (), "subprocess network-subprocess"),
        ("sendto", (5, 0, 1, 0x4000), "plain subprocess network network-subprocess"),
        ("sendto", (5, 0, 1, 0x2000_4000), "plain subprocess"),  # MSG_FASTOPEN, no TCP there
        ("setsockopt", (5, 6, 1), "network network-subprocess"),
        ("setsockopt", (5, 6, 31), ""),  # TCP_ULP
        ("setsockopt", (5, 1, 26), ""),  # SO_ATTACH_FILTER
        ("ioctl", (0, 0x5401), "plain subprocess network network-subprocess"),
        ("ioctl", (0, 0x5412), ""),  # TIOCSTI
        ("ioctl", (0, 0x5412 | 1 << 32), ""),  # the kernel would cut it
        ("ioctl", (0, 0x541C), ""),  # TIOCLINUX
        ("prctl", (15,), "plain subprocess network network-subprocess"),
        ("prctl", (1,), ""),  # PR_SET_PDEATHSIG
        ("prctl", (4,), ""),  # PR_SET_DUMPABLE
        ("prlimit64", (77, 7, 0, 4096), "plain subprocess network network-subprocess"),
        ("prlimit64", (77, 7, 4096, 0), ""),
        # What a thread of ZeroMQ says of itself when it begins, which may be after the seal.
        ("sched_setscheduler", (77, 0), "plain subprocess network network-subprocess"),
        ("sched_setscheduler", (77, 1), ""),  # SCHED_FIFO
        ("sched_setscheduler", (77, 0x4000_0000), ""),  # SCHED_RESET_ON_FORK
        ("personality", (0xFFFF_FFFF,), "plain subprocess network network-subprocess"),
        ("personality", (0x40000,), ""),
        ("openat", (-100, 0, 0o101, 0o644), "plain subprocess network network-subprocess"),
        ("openat", (-100, 0, 0o101, 0o4755), ""),
        ("fchmod", (3, 0o2755), ""),
        ("mknodat", (-100, 0, 0o010644), "plain subprocess network network-subprocess"),
        ("mknodat", (-100, 0, 0o020644), ""),  # a device
    ],
)
def test_arguments_decide(
    arch: str,
    call: str,
    arguments: Arguments,
    allowed_in: str,
) -> None:
    got = {variant: of(arch, variant, call, *arguments) for variant in VARIANTS}

    wanted = {v: "allowed" if v in allowed_in.split() else "EPERM" for v in VARIANTS}
    assert got == wanted


def test_every_program_is_part_of_the_package() -> None:
    project = tomllib.loads((bpf.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["engine.sandbox.seccomp"]

    names = {f"{arch}-{variant}.bpf" for arch, variant in CASES}
    assert "*.bpf" in patterns
    assert names == {path.name for path in FOLDER.glob("*.bpf")}


def test_there_is_no_program_for_an_unknown_architecture() -> None:
    with pytest.raises(ValueError, match="riscv64"):
        seccomp.load("riscv64", subprocess=False, network=False)
