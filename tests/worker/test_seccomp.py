"""Children that seal themselves, and what is left to them."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from engine.sandbox.seccomp import ARCHITECTURES
from engine.sandbox.seccomp.rules import VARIANTS
from tests.confining import child, run_child
from worker import seccomp

pytestmark = pytest.mark.skipif(
    os.uname().machine not in ARCHITECTURES,
    reason="there are no filters for this architecture",
)
on_x86_64 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="calls of x86_64")


def test_processes_are_refused_to_every_thread_older_ones_too() -> None:
    answer = child("""
        go, seen = threading.Event(), []
        def look():
            go.wait()
            seen.append([tried(os.fork), tried(socket.socket), status()])
        def status():
            text = open(f"/proc/self/task/{threading.get_native_id()}/status").read()
            return text.split("Seccomp:")[1].split()[0]
        threads = [threading.Thread(target=look) for _ in range(3)]
        for thread in threads:
            thread.start()
        confine.seal(program("plain"))
        threads.append(threading.Thread(target=look))
        threads[-1].start()
        go.set()
        for thread in threads:
            thread.join()
        answer = [seen, tried(os.fork), tried(os.posix_spawn, "/bin/true", ["true"], {}),
                  tried(os.execv, "/bin/true", ["true"]), raw(NUMBERS["clone3"], 0, 0)]
        """)

    assert answer == [[["EPERM", "EPERM", "2"]] * 4, "EPERM", "EPERM", "EPERM", "ENOSYS"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_dangerous_calls_are_refused_and_unknown_ones_are_missing(variant: str) -> None:
    answer = child(
        """
        confine.seal(program(VARIANT))
        calls = ["unshare", "setns", "mount", "ptrace", "bpf", "keyctl", "userfaultfd", "setuid",
                 "perf_event_open", "io_uring_setup", "memfd_create", "shmget", "setresuid",
                 "process_vm_readv", "capset", "chroot", "execveat", "personality"]
        answer = {call: raw(NUMBERS[call], 0, 0, 0, 0) for call in calls}
        answer["beyond"] = raw(457, 0)
        answer["user namespace"] = raw(NUMBERS["clone"], 0x10000011, 0, 0, 0, 0)
        """,
        VARIANT=variant,
    )

    assert answer.pop("beyond") == "ENOSYS"
    assert set(answer.values()) == {"EPERM"}, answer


@on_x86_64
@pytest.mark.parametrize("variant", VARIANTS)
def test_calls_by_the_numbers_of_i386_and_x32_end_the_process(variant: str) -> None:
    i386 = """
        import mmap
        code = bytes.fromhex("b814000000cd80c3")  # mov eax, getpid; int 0x80; ret
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(code)
        call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
        confine.seal(program(VARIANT))
        call()
        """
    x32 = 'confine.seal(program(VARIANT))\nraw(0x40000000 | NUMBERS["getpid"])'

    ends = [run_child(code, VARIANT=variant).returncode for code in (i386, x32)]

    assert ends == [-signal.SIGSYS] * 2


def test_asyncio_threads_and_signals_work() -> None:
    answer = child("""
        confine.seal(program("plain"))
        import asyncio, concurrent.futures, faulthandler, time
        async def main():
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(5):
                await asyncio.sleep(0)
                return await asyncio.gather(*(loop.run_in_executor(None, abs, -n) for n in (1, 2)))
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answer = [asyncio.run(main()), list(pool.map(abs, [-3, -4]))]
        caught = []
        signal.signal(signal.SIGUSR1, lambda *_: caught.append("caught"))
        os.kill(os.getpid(), signal.SIGUSR1)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        signal.setitimer(signal.ITIMER_REAL, 60)
        answer += [caught, signal.setitimer(signal.ITIMER_REAL, 0)[0] > 0, tried(time.sleep, 0)]
        a, b = socket.socketpair()
        a.send(b"x")
        answer += [b.recv(1).decode(), tried(socket.socketpair, socket.AF_UNIX, socket.SOCK_DGRAM)]
        back = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda n: n + 1)
        answer += [back(1), os.nice(0), len(os.sched_getaffinity(0)) > 0]
        faulthandler.enable()
        """)

    assert answer == [[1, 2], [3, 4], ["caught", "caught"], True, "done", "x", "EPERM", 2, 0, True]


def test_a_crash_still_leaves_its_traceback() -> None:
    done = run_child("""
        import faulthandler
        faulthandler.enable()
        confine.seal(program("plain"))
        ctypes.string_at(0)
        """)

    assert done.returncode == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in done.stderr


def test_numpy_and_pyarrow_work() -> None:
    answer = child("""
        plain = program("plain")
        confine.restrict(SYSTEM)
        confine.seal(plain)
        sys.path.append(SITE_PACKAGES)
        import numpy as np
        square = np.full((600, 600), 2.0)
        import pyarrow as pa
        import pyarrow.compute as pc
        answer = [float((square @ square)[0, 0]), len(np.linalg.svd(square[:9, :9])[1]),
                  pc.sum(pa.array(range(100_000))).as_py()]
        """)

    assert answer == [2400.0, 9, 4_999_950_000]


def test_psutil_and_ssl_work() -> None:
    answer = child("""
        confine.seal(program("plain"))
        sys.path.append(SITE_PACKAGES)
        import psutil, ssl, http.client, urllib.request, sqlite3
        me = psutil.Process()
        counts = [me.memory_info().rss, me.num_threads(), me.num_fds(), psutil.cpu_count(),
                  psutil.virtual_memory().total, psutil.disk_usage("/").total,
                  len(me.cpu_affinity()), me.rlimit(psutil.RLIMIT_NOFILE)[1],
                  len(psutil.pids()), psutil.boot_time()]
        answer = [min(counts) > 0, me.nice(), me.cpu_percent() >= 0, len(psutil.getloadavg()),
                  psutil.net_io_counters() is not None, psutil.swap_memory().total >= 0,
                  ssl.create_default_context().check_hostname,
                  tried(socket.create_connection, ("127.0.0.1", 9))]
        """)

    assert answer == [True, 0, True, 3, True, True, True, "EPERM"]


def test_lanes_that_are_connected_go_on_working() -> None:
    answer = child("""
        sys.path.append(SITE_PACKAGES)
        import tempfile, zmq
        context = zmq.Context()
        with tempfile.TemporaryDirectory() as folder:
            engine, worker = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
            engine.bind(f"ipc://{folder}/lane")
            worker.connect(f"ipc://{folder}/lane")
            worker.send(b"hello")
            hello = engine.recv()
            confine.seal(program("plain"))
            engine.send(b"x" * 1_000_000)
            size = len(worker.recv())
            worker.send(b"done")
            answer = [hello.decode(), size, engine.recv().decode()]
            context.destroy(linger=0)
        """)

    assert answer == ["hello", 1_000_000, "done"]


def test_files_and_settings_of_the_own_process_work_without_set_id_bits() -> None:
    answer = child("""
        confine.seal(program("plain"))
        import resource, shutil, tempfile
        answer = []
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            with open("a", "wb", buffering=0) as file:
                os.posix_fallocate(file.fileno(), 0, 10)
                os.fsync(file.fileno())
            shutil.copy2("a", "b")
            os.chmod("b", 0o755)
            os.utime("b")
            os.mkfifo("pipe")
            answer += [os.path.getsize("b"), tried(os.chmod, "b", 0o4755),
                       tried(os.open, "c", os.O_CREAT | os.O_WRONLY, 0o2755),
                       tried(os.mknod, "d", 0o020644, os.makedev(1, 3))]
            os.chdir("/")
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        answer += [resource.getrlimit(resource.RLIMIT_NOFILE)[0], tried(os.setuid, os.getuid()),
                   raw(NUMBERS["prctl"], 1, 0), raw(NUMBERS["prctl"], 15, 0)]
        """)

    assert answer == [10, "EPERM", "EPERM", "EPERM", 64, "EPERM", "EPERM", "EFAULT"]


def test_with_its_grant_programs_start_and_keep_the_filter() -> None:
    answer = child("""
        confine.seal(program("subprocess"))
        import asyncio, subprocess
        from multiprocessing.connection import Client, Listener
        run = subprocess.run(["/bin/sh", "-c", "echo $((6 * 7)); grep Seccomp: /proc/self/status"],
                             capture_output=True, text=True)
        async def spawn():
            process = await asyncio.create_subprocess_exec("/bin/true", start_new_session=True)
            return await process.wait()
        child = os.fork()
        if not child:
            os._exit(0 if tried(os.setuid, 0) == "EPERM" else 1)
        listener = Listener(family="AF_UNIX")
        Client(listener.address).send("kept")
        answer = [run.stdout.split(), asyncio.run(spawn()), os.waitpid(child, 0)[1],
                  listener.accept().recv(),
                  tried(socket.socket, socket.AF_INET), tried(socket.socket, socket.AF_UNIX)]
        """)

    assert answer == [["42", "Seccomp:", "2"], 0, 0, "kept", "EPERM", "done"]


def test_with_its_grant_tcp_connects_and_nothing_else() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        answer = child(
            """
            confine.seal(program("network"))
            connection = socket.create_connection(("127.0.0.1", PORT))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            fresh = socket.socket()
            answer = {
                "send": connection.send(b"x"),
                "fast open": tried(fresh.sendto, b"x", socket.MSG_FASTOPEN, ("127.0.0.1", PORT)),
                "fast open, message": tried(
                    fresh.sendmsg, [b"x"], [], socket.MSG_FASTOPEN, ("127.0.0.1", PORT)),
                "listen": tried(fresh.listen),
                "bind": tried(fresh.bind, ("127.0.0.1", 0)),
                "udp": tried(socket.socket, socket.AF_INET, socket.SOCK_DGRAM),
                "mptcp": tried(socket.socket, socket.AF_INET, socket.SOCK_STREAM, 262),
                "unix": tried(socket.socket, socket.AF_UNIX),
                "netlink": tried(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW),
                "vsock": tried(socket.socket, 40, socket.SOCK_STREAM),
                "fork": tried(os.fork),
            }
            """,
            PORT=server.getsockname()[1],
        )

    assert answer.pop("send") == 1
    assert set(answer.values()) == {"EPERM"}, answer


def test_a_filter_cannot_be_taken_off_or_added_to() -> None:
    answer = child("""
        confine.seal(program("plain"))
        try:
            confine.seal(program("subprocess"))
        except OSError as error:
            answer = [name(error.errno), error.strerror, tried(os.fork)]
        """)

    assert answer == [
        "EPERM",
        "seccomp: cannot install the filter: Operation not permitted",
        "EPERM",
    ]


def test_a_program_that_is_no_filter_is_refused_before_the_kernel_sees_it() -> None:
    for program in (b"", b"\0" * 7, b"\0" * 8 * 4097):
        with pytest.raises(ValueError, match="no filter"):
            seccomp.seal(program)


def test_a_program_that_the_kernel_refuses_says_so() -> None:
    answer = child("""
        try:
            confine.seal(bytes(8))
        except OSError as error:
            answer = [name(error.errno), error.strerror]
        """)

    assert answer == ["EINVAL", "seccomp: cannot install the filter: Invalid argument"]
