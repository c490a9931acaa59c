from __future__ import annotations

import os
import stat
from functools import partial
from pathlib import Path

import zmq

from engine.environments.runtime import runtime_folder
from engine.environments.standing import StandingEnvironment
from engine.workers.conversation import RunLimits
from engine.workers.premises import SOCKETS_MODE, Premises


def premises(folder: Path) -> Premises:
    return Premises(
        zmq.Context.instance(),
        plugin_dir=folder / "plugins",
        homes=StandingEnvironment(
            folder / "plugins" / ".venv", partial(runtime_folder, folder / "runtime")
        ),
        runtime_dir=folder / "runtime",
        limits=RunLimits(1.0, 1.0, 1.0),
        mirror_value_bytes=1,
    )


def test_the_next_server_on_the_same_data_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    killed = premises(tmp_path)
    (killed.sockets / "7-abc").mkdir()

    following = premises(tmp_path)

    assert following.sockets == killed.sockets
    assert list(following.sockets.iterdir()) == []
    assert stat.S_IMODE(following.sockets.stat().st_mode) == SOCKETS_MODE
    following.close()
    assert not following.sockets.exists()


def test_folders_that_a_plugin_nested_deeply_do_not_keep_a_server_from_starting(
    tmp_path: Path,
) -> None:
    killed = premises(tmp_path)
    folder = os.open(killed.sockets, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)

    following = premises(tmp_path)

    assert list(following.sockets.iterdir()) == []
    following.close()


def test_workers_pass_to_their_sockets_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        place = premises(tmp_path)
    finally:
        os.umask(before)

    assert stat.S_IMODE(place.sockets.stat().st_mode) == SOCKETS_MODE
    place.close()


def test_a_folder_that_is_not_ours_is_not_used(tmp_path: Path) -> None:
    first = premises(tmp_path)
    first.close()
    first.sockets.symlink_to(tmp_path)
    try:
        second = premises(tmp_path)
    finally:
        first.sockets.unlink()

    assert second.sockets != first.sockets
    assert tmp_path.exists()
    second.close()
