"""What a worker may see, as rules for Landlock, with bubblewrap and without."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sandbox.policy import (
    Layers,
    Policy,
    ViewEntry,
    landlock_rules,
    objection,
    temporary_seen,
)

NAMESPACES = Layers(bwrap="/usr/bin/bwrap", landlock_abi=7, seccomp=True)
LANDLOCK_ONLY = Layers(landlock_abi=7, seccomp=True)
POLICY = Policy(
    trigger_id=7,
    uid=None,
    plugin_dir="/srv/plugins",
    private_dir="/srv/db/node/private/7",
    sockets_dir="/tmp/bulkhead/7-x",
    runtime_dir="/srv/db/runtime/cpython-311",
    environment_dir="/srv/plugins/.venv",
    prefixes=("/opt/python",),
    view=(
        ViewEntry("alert.py", "/srv/plugins/alert.py"),
        ViewEntry("queue", "/srv/plugins/queue", is_writable=True),
    ),
    read=("/mnt/models",),
    write=("/mnt/reports",),
)


def test_rules_name_the_entries_of_the_view_and_not_the_plugin_folder() -> None:
    for layers in (NAMESPACES, LANDLOCK_ONLY):
        rules = dict(landlock_rules(POLICY, layers))

        assert rules["/srv/plugins/alert.py"] == "read"
        assert rules["/srv/plugins/queue"] == "write"
        assert rules["/srv/plugins/.venv"] == "read"
        assert not {"/srv/plugins", "/etc", "/dev"} & set(rules)


def test_only_in_namespaces_of_its_own_a_worker_has_all_of_proc_and_tmp() -> None:
    assert {"/tmp", "/dev/shm", "/proc"} <= set(dict(landlock_rules(POLICY, NAMESPACES)))
    assert not {"/tmp", "/dev/shm", "/proc"} & set(dict(landlock_rules(POLICY, LANDLOCK_ONLY)))


def test_granted_paths_have_the_access_that_was_granted() -> None:
    for layers in (NAMESPACES, LANDLOCK_ONLY):
        rules = dict(landlock_rules(POLICY, layers))

        assert rules["/mnt/models"] == "read"
        assert rules["/mnt/reports"] == "write"
        assert rules["/srv/db/node/private/7"] == "write"
        assert rules["/tmp/bulkhead/7-x"] == "socket"
        assert rules["/dev/null"] == "device"


def test_temporary_files_are_in_its_own_tmp_or_in_its_own_folder() -> None:
    assert temporary_seen(POLICY, NAMESPACES) == "/tmp"
    assert temporary_seen(POLICY, LANDLOCK_ONLY) == "/srv/db/node/private/7/.tmp"


@given(st.lists(st.sampled_from(["/a", "/a/b", "/c"]), max_size=3), st.booleans())
def test_nothing_is_writable_that_was_not_granted(write: list[str], has_bwrap: bool) -> None:
    policy = replace(POLICY, view=(), write=tuple(write))
    layers = NAMESPACES if has_bwrap else LANDLOCK_ONLY

    written = {path for path, access in landlock_rules(policy, layers) if access == "write"}

    own = {"/tmp", "/dev/shm"} if has_bwrap else set()
    assert written == {policy.private_dir, *write} | own


def test_a_policy_without_a_trap_is_not_objected_to() -> None:
    assert objection(POLICY) is None


@pytest.mark.parametrize("folder", ["/usr", "/opt/python"])
@pytest.mark.parametrize("name", ["plugin_dir", "private_dir", "sockets_dir"])
def test_folders_of_the_server_are_not_kept_where_every_plugin_may_read(
    name: str, folder: str
) -> None:
    policy = replace(POLICY, **{name: f"{folder}/share/bulkhead"})

    assert f"{folder}, which all plugins may read" in str(objection(policy))


@pytest.mark.parametrize(
    "path",
    [
        *("/usr/lib/python3.11", "/lib/x86_64-linux-gnu", "/opt", "/opt/python/lib/os.py"),
        *("/srv/db/runtime/cpython-311/worker", "/srv/plugins/.venv/lib"),
    ],
)
def test_no_plugin_may_write_to_what_workers_are_started_from(path: str) -> None:
    for policy in (
        replace(POLICY, write=(path,)),
        replace(POLICY, view=(ViewEntry("x", path, is_writable=True),)),
    ):
        assert "holds programs that the worker is started with" in str(objection(policy))
