"""Processes: seeing, stopping, tracing and changing those of others, and starting new ones.

A safe engine shows a worker its own process only, and lets it start none.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import threading

from .catalog import Local, World, attack
from .kernel import LIBC, checked, syscall

_PTRACE_SEIZE = 0x4206
_PTRACE_INTERRUPT = 0x4207
_PTRACE_DETACH = 17
_KCMP_FILES = 2
_LOWEST_NICE = -20


def _others(world: World) -> tuple[int, int]:
    return (world.server_pid, world.victim_pid)


@attack()
def list_processes(world: World, local: Local) -> str | None:
    """Try: list the processes of the machine. Safe: the own one and what holds it, no more."""
    pids = {int(name) for name in os.listdir("/proc") if name.isdigit()}
    seen = pids & set(_others(world))
    return f"sees {len(pids)} processes, the server among them" if seen else None


@attack()
def signal_server(world: World, local: Local) -> str | None:
    """Try: signal the server. Safe: no such process."""
    os.kill(world.server_pid, 0)
    return "may signal the server"


@attack()
def signal_other_worker(world: World, local: Local) -> str | None:
    """Try: signal another trigger's worker. Safe: no such process."""
    os.kill(world.victim_pid, 0)
    return "may signal the worker of another trigger"


@attack()
def signal_by_descriptor(world: World, local: Local) -> str | None:
    """Try: signal the server and another worker by a process descriptor. Safe: no such process."""
    for pid in _others(world):
        descriptor = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(descriptor, 0)  # type: ignore[arg-type]
        finally:
            os.close(descriptor)
    return "may signal by descriptor"


@attack()
def signal_parent(world: World, local: Local) -> str | None:
    """Try: signal the parent process, whoever it is. Safe: it is nobody that matters."""
    parent = os.getppid()
    os.kill(parent, 0)
    return f"may signal the server, its parent {parent}" if parent == world.server_pid else None


@attack()
def trace_other_worker(world: World, local: Local) -> str | None:
    """Try: attach to another trigger's worker as a debugger does. Safe: refused."""
    outcomes: list[str | OSError] = []

    def trace() -> None:
        # In a thread that ends: the kernel then lets go of what it traces.
        try:
            checked(LIBC.ptrace(_PTRACE_SEIZE, world.victim_pid, None, None))
        except OSError as error:
            outcomes.append(error)
        else:
            outcomes.append("attached to the worker of another trigger")

    thread = threading.Thread(target=trace)
    thread.start()
    thread.join()
    outcome = outcomes[0]
    if isinstance(outcome, OSError):
        raise outcome
    return outcome


class _Part(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def _transfer(name: str, pid: int) -> str:
    """Move one byte between processes; a bad address shows that the kernel would have done it."""
    buffer = ctypes.create_string_buffer(1)
    ours = _Part(ctypes.cast(buffer, ctypes.c_void_p), 1)
    theirs = _Part(8, 1)
    move = getattr(LIBC, name)
    move.restype = ctypes.c_ssize_t
    try:
        checked(move(pid, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0))
    except OSError as error:
        if "address" not in str(error):
            raise
    return f"{name} may touch process {pid}"


@attack()
def read_memory(world: World, local: Local) -> str | None:
    """Try: read another process's memory by process_vm_readv. Safe: refused."""
    return "; ".join(_transfer("process_vm_readv", pid) for pid in _others(world))


@attack()
def write_memory(world: World, local: Local) -> str | None:
    """Try: write another process's memory by process_vm_writev. Safe: refused."""
    return "; ".join(_transfer("process_vm_writev", pid) for pid in _others(world))


@attack()
def take_descriptors(world: World, local: Local) -> str | None:
    """Try: copy the server's descriptors by pidfd_getfd. Safe: refused."""
    descriptor = os.pidfd_open(world.server_pid)
    try:
        os.close(syscall("pidfd_getfd", descriptor, 0, 0))
    finally:
        os.close(descriptor)
    return "copied a descriptor of the server"


@attack()
def compare_descriptors(world: World, local: Local) -> str | None:
    """Try: compare kernel objects with the server's by kcmp. Safe: refused."""
    syscall("kcmp", os.getpid(), world.server_pid, _KCMP_FILES, 0, 0)
    return "may compare with the server"


@attack()
def limits_of_others(world: World, local: Local) -> str | None:
    """Try: change the limits of the server by prlimit. Safe: refused."""
    now = resource.prlimit(world.server_pid, resource.RLIMIT_CORE)
    resource.prlimit(world.server_pid, resource.RLIMIT_CORE, now)
    return "may change the limits of the server"


@attack()
def priority_of_others(world: World, local: Local) -> str | None:
    """Try: change the priority and the processors of the server. Safe: no such process."""
    nice = os.getpriority(os.PRIO_PROCESS, world.server_pid)
    os.setpriority(os.PRIO_PROCESS, world.server_pid, nice)
    return "may change the priority of the server"


@attack()
def raise_own_priority(world: World, local: Local) -> str | None:
    """Try: run before everybody else. Safe: refused."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, _LOWEST_NICE)
    after = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, before)
    return f"priority {after}" if after < before else None


@attack()
def run_in_real_time(world: World, local: Local) -> str | None:
    """Try: run under a real-time scheduler. Safe: refused."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return "ran in real time"


@attack()
def spare_from_memory_killer(world: World, local: Local) -> str | None:
    """Try: make the kernel kill others first when memory runs out. Safe: refused."""
    path = "/proc/self/oom_score_adj"
    with open(path) as file:
        before = int(file.read())
    with open(path, "w") as file:
        file.write("-1000")
    with open(path, "w") as file:
        file.write(str(before))
    return "would be killed last"


@attack()
def raise_own_limits(world: World, local: Local) -> str | None:
    """Try: raise the hard limits of the own process. Safe: refused."""
    _, hard = resource.getrlimit(resource.RLIMIT_MSGQUEUE)
    try:
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (hard + 1, hard + 1))
    except ValueError as error:  # as Python calls it
        raise PermissionError(str(error)) from error
    resource.setrlimit(resource.RLIMIT_MSGQUEUE, (hard, hard))
    return f"raised the limit of {hard} bytes in queues"


@attack()
def start_program(world: World, local: Local) -> str | None:
    """Try: start a program, which was not granted. Safe: refused."""
    answer = subprocess.run(["/bin/sh", "-c", "echo started"], capture_output=True, check=False)
    return "started a program" if b"started" in answer.stdout else None


@attack()
def start_program_by_spawn(world: World, local: Local) -> str | None:
    """Try: the same by posix_spawn, which uses another system call. Safe: refused."""
    pid = os.posix_spawn("/bin/true", ["true"], {})
    _, status = os.waitpid(pid, 0)
    return None if os.waitstatus_to_exitcode(status) else "started a program"


@attack()
def fork_once(world: World, local: Local) -> str | None:
    """Try: fork, which was not granted. Safe: refused."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "forked"


@attack(is_deadly=True)
def execute_memory_file(world: World, local: Local) -> str | None:
    """Try: execute a program that lies in memory only. Safe: refused."""
    program = os.memfd_create("program")
    with open("/bin/true", "rb") as file:
        os.write(program, file.read())
    pid = os.posix_spawn(f"/proc/self/fd/{program}", ["true"], {})
    _, status = os.waitpid(pid, 0)
    os.close(program)
    return None if os.waitstatus_to_exitcode(status) else "executed a file in memory"
