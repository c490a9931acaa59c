"""Children that restrict themselves by Landlock, and what is left to them."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.confining import child
from worker import landlock

ABI = landlock.abi()
pytestmark = pytest.mark.skipif(ABI == 0, reason="needs Landlock")
needs_ports = pytest.mark.skipif(ABI < 4, reason="needs Landlock for ports")
needs_scopes = pytest.mark.skipif(ABI < 6, reason="needs Landlock for scopes")


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, str]:
    for name in ("read", "write", "secret"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name, encoding="utf-8")
    return {name.upper(): str(tmp_path / name) for name in ("read", "write", "secret")}


def test_files_outside_the_rules_are_refused(folders: dict[str, str]) -> None:
    answer = child(
        """
        confine.restrict([*SYSTEM, (READ, "read"), (WRITE, "write"), (READ + "/none", "read")])
        answer = {
            "read": open(READ + "/file").read(),
            "list": os.listdir(READ),
            "change what is for reading": tried(open, READ + "/file", "w"),
            "cut what is for reading": tried(os.truncate, READ + "/file", 0),
            "read a secret": tried(open, SECRET + "/file"),
            "list a secret": tried(os.listdir, SECRET),
            "link a secret": tried(os.link, SECRET + "/file", WRITE + "/stolen"),
            "through a link": (
                os.symlink(SECRET + "/file", WRITE + "/link"), tried(open, WRITE + "/link"))[1],
            "move away": tried(os.rename, READ + "/file", WRITE + "/moved"),
        }
        """,
        **folders,
    )

    refused = {key: value for key, value in answer.items() if key not in ("read", "list")}
    assert (answer["read"], answer["list"]) == ("read", ["file"])
    assert set(refused.values()) <= {"EACCES", "EXDEV"}, refused
    assert Path(folders["READ"], "file").read_text(encoding="utf-8") == "read"


def test_a_folder_to_write_takes_everything_but_devices(folders: dict[str, str]) -> None:
    answer = child(
        """
        confine.restrict([*SYSTEM, (WRITE, "write")])
        os.chdir(WRITE)
        open("a", "w").write("long")
        os.truncate("a", 1)
        os.mkdir("d")
        os.rename("a", "d/b")
        os.symlink("d/b", "link")
        os.link("d/b", "hard")
        os.mkfifo("pipe")
        answer = [
            open("link").read(),
            tried(os.mknod, "device", 0o020644, os.makedev(1, 3)),
            sorted(os.listdir(".")),
        ]
        for name in ("d/b", "hard", "link", "pipe"):
            os.unlink(name)
        os.rmdir("d")
        """,
        **folders,
    )

    assert answer == ["l", answer[1], ["d", "file", "hard", "link", "pipe"]]
    assert answer[1] in ("EACCES", "EPERM")
    assert [path.name for path in Path(folders["WRITE"]).iterdir()] == ["file"]


def test_a_device_is_read_and_written() -> None:
    answer = child("""
        confine.restrict([("/dev/null", "device"), ("/dev/zero", "read")])
        answer = [open("/dev/null", "wb").write(b"x"), open("/dev/zero", "rb").read(1)[0],
                  tried(open, "/dev/zero", "wb"), tried(open, "/dev/urandom", "rb")]
        """)

    assert answer == [1, 0, "EACCES", "EACCES"]


def test_programs_start_only_with_their_grant_and_libraries_load_without() -> None:
    code = """
        confine.restrict(SYSTEM, None, {0})
        import sqlite3, ssl
        def start():
            status = os.waitpid(os.posix_spawn("/usr/bin/env", ["env", "true"], {{}}), 0)[1]
            if status:
                raise OSError(errno.ECHILD, "the program failed")
        answer = [tried(start), sqlite3.connect(":memory:").execute("select 1").fetchone()]
        """

    assert child(code.format(False)) == ["EACCES", [1]]
    assert child(code.format(True)) == ["done", [1]]


@needs_ports
def test_one_port_can_be_connected_to_and_none_bound() -> None:
    with socket.create_server(("127.0.0.1", 0)) as own, socket.create_server(("127.0.0.1", 0)) as o:
        answer = child(
            """
            confine.restrict(SYSTEM, OWN)
            answer = [
                tried(socket.create_connection, ("127.0.0.1", OWN)),
                tried(socket.create_connection, ("127.0.0.1", OTHER)),
                tried(socket.create_server, ("127.0.0.1", 0)),
            ]
            """,
            OWN=own.getsockname()[1],
            OTHER=o.getsockname()[1],
        )

    assert answer == ["done", "EACCES", "EACCES"]


@needs_ports
def test_without_a_port_nothing_can_be_connected_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        answer = child(
            "confine.restrict(SYSTEM)\n"
            "answer = tried(socket.create_connection, ('127.0.0.1', PORT))",
            PORT=port,
        )

    assert answer == "EACCES"


@needs_scopes
def test_abstract_sockets_and_signals_of_others_are_out_of_reach() -> None:
    name = f"\0bulkhead-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        answer = child(
            """
            before = socket.socket(socket.AF_UNIX)
            confine.restrict(SYSTEM)
            own = socket.socket(socket.AF_UNIX)
            own.bind(NAME + "-own")
            own.listen()
            answer = {
                "other": tried(socket.socket(socket.AF_UNIX).connect, NAME),
                "other, older socket": tried(before.connect, NAME),
                "own": tried(socket.socket(socket.AF_UNIX).connect, NAME + "-own"),
                "signal": tried(os.kill, os.getppid(), 0),
                "signal itself": tried(os.kill, os.getpid(), 0),
            }
            """,
            NAME=name,
        )

    assert answer == {
        "other": "EPERM",
        "other, older socket": "EPERM",
        "own": "done",
        "signal": "EPERM",
        "signal itself": "done",
    }


@pytest.mark.skipif(ABI < 9, reason="needs Landlock for named sockets")
def test_named_sockets_are_reached_only_where_a_rule_says(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as own, socket.socket(socket.AF_UNIX) as other:
        for server, name in ((own, "own"), (other, "other")):
            server.bind(str(tmp_path / name))
            server.listen()
        answer = child(
            """
            confine.restrict([*SYSTEM, (FOLDER + "/own", "socket")])
            answer = [tried(socket.socket(socket.AF_UNIX).connect, f"{FOLDER}/{n}")
                      for n in ("own", "other")]
            """,
            FOLDER=str(tmp_path),
        )

    assert answer == ["done", "EACCES"]


def test_an_older_thread_is_held_too_or_nothing_is_done(folders: dict[str, str]) -> None:
    answer = child(
        """
        go, seen = threading.Event(), []
        def look():
            go.wait()
            seen.append(tried(open, SECRET + "/file"))
        thread = threading.Thread(target=look)
        thread.start()
        step = tried(confine.restrict, SYSTEM)
        go.set()
        thread.join()
        answer = [step, *seen]
        """,
        **folders,
    )

    assert answer == (["done", "EACCES"] if ABI >= 8 else ["EBUSY", "done"])


@pytest.mark.parametrize("version", range(1, ABI + 1))
def test_each_older_version_works_with_what_it_has(version: int, folders: dict[str, str]) -> None:
    answer = child(
        """
        landlock.abi = lambda: VERSION
        answer = [landlock.restrict([*SYSTEM, (READ, "read"), (READ, "socket")], 80),
                  open(READ + "/file").read(), tried(open, SECRET + "/file")]
        """,
        VERSION=version,
        **folders,
    )

    assert answer == [version, "read", "EACCES"]


def test_where_there_is_no_landlock_nothing_happens(folders: dict[str, str]) -> None:
    answer = child(
        """
        landlock.abi = lambda: 0
        answer = [landlock.restrict(SYSTEM), open(SECRET + "/file").read()]
        """,
        **folders,
    )

    assert answer == [0, "secret"]


@pytest.mark.skipif(ABI >= 10, reason="knows all that is asked for")
def test_a_failing_step_says_which_it_was() -> None:
    answer = child("""
        landlock.abi = lambda: 99
        try:
            landlock.restrict(SYSTEM)
        except OSError as error:
            answer = [name(error.errno), error.strerror]
        """)

    assert answer == ["EINVAL", "landlock: cannot create a ruleset: Invalid argument"]


def test_an_unknown_access_is_refused() -> None:
    with pytest.raises(ValueError, match="'own'"):
        landlock._rights("own", with_exec=False)  # noqa: SLF001 - without restricting the tests


def test_a_version_brings_its_rights_and_a_future_one_no_more() -> None:
    known = landlock._known  # noqa: SLF001 - the tables, number by number
    tables = (landlock._FILES, landlock._PORTS, landlock._SCOPES, landlock._FLAGS)  # noqa: SLF001

    got = {version: tuple(known(table, version) for table in tables) for version in range(1, 12)}

    first = (1 << 13) - 1
    assert got == {
        1: (first, 0, 0, 0),
        2: (first | 1 << 13, 0, 0, 0),
        3: ((1 << 15) - 1, 0, 0, 0),
        4: ((1 << 15) - 1, 3, 0, 0),
        5: ((1 << 16) - 1, 3, 0, 0),
        6: ((1 << 16) - 1, 3, 3, 0),
        7: ((1 << 16) - 1, 3, 3, 5),
        8: ((1 << 16) - 1, 3, 3, 13),
        9: ((1 << 17) - 1, 3, 3, 13),
        10: ((1 << 17) - 1, 15, 3, 13),
        11: ((1 << 17) - 1, 15, 3, 13),
    }
