"""The arguments of bubblewrap: what is mounted, in which order, and what is never made."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from engine.sandbox.bubblewrap import arguments, made_up_files
from engine.sandbox.policy import Policy, ViewEntry

LINKS = {"/bin": "usr/bin", "/lib": "usr/lib"}
MADE_UP = {"/etc/passwd": 10, "/etc/hosts": 11}
POLICY = Policy(
    trigger_id=7,
    uid=None,
    plugin_dir="/srv/plugins",
    private_dir="/srv/db/node/private/7",
    sockets_dir="/tmp/bulkhead/7-x",
    runtime_dir="/srv/db/runtime/cpython-311",
    environment_dir="/srv/plugins/.venv",
    prefixes=("/closed/python", "/usr"),
    view=(
        ViewEntry("alert.py", "/srv/plugins/alert.py"),
        ViewEntry("queue", "/srv/plugins/queue", is_writable=True),
    ),
    variables={"TZ": "UTC"},
)


def words(policy: Policy = POLICY) -> list[str]:
    return arguments(policy, MADE_UP, LINKS)


def has(found: list[str], *wanted: str) -> bool:
    return any(tuple(found[n : n + len(wanted)]) == wanted for n in range(len(found)))


def binds(found: list[str]) -> dict[str, tuple[str, str]]:
    """Return option and source of every bind by its target."""
    return {
        found[n + 2]: (option.removesuffix("-try"), found[n + 1])
        for n, option in enumerate(found)
        if option in ("--bind", "--ro-bind", "--bind-try", "--ro-bind-try", "--dev-bind")
    }


def test_every_namespace_is_new_and_the_root_is_closed_last() -> None:
    found = words()

    for kind in ("user", "pid", "net", "ipc", "uts", "cgroup-try"):
        assert f"--unshare-{kind}" in found
    assert found[-2:] == ["--remount-ro", "/"]
    assert {"--die-with-parent", "--new-session", "--clearenv"} <= set(found)
    assert has(found, "--setenv", "TZ", "UTC")


def test_capabilities_are_those_that_the_first_lines_need() -> None:
    as_user, as_root = words(), words(replace(POLICY, uid=0x7000_0007))

    assert has(as_user, "--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN", "--unshare-user")
    assert "--unshare-user" not in as_root
    assert has(as_root, "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID")
    assert as_root.count("--cap-add") == 3


def test_an_environment_elsewhere_is_seen_beside_the_plugins_as_well() -> None:
    shelf = "/srv/db/node/environments/0123"
    elsewhere = replace(POLICY, environment_dir=shelf, environment_name="/srv/plugins/.venv")

    found = binds(words(elsewhere))

    assert found[shelf] == found["/srv/plugins/.venv"] == ("--ro-bind", shelf)


def test_system_folders_are_as_on_the_host() -> None:
    found = words()

    assert has(found, "--symlink", "usr/bin", "/bin")
    assert binds(found)["/usr"] == ("--ro-bind", "/usr")
    assert has(found, "--perms", "0644", "--file", "10", "/etc/passwd")


def test_the_view_lies_where_it_is_and_nothing_in_the_private_folder() -> None:
    found = binds(words())

    assert found["/srv/plugins/alert.py"] == ("--ro-bind", "/srv/plugins/alert.py")
    assert found["/srv/plugins/queue"] == ("--bind", "/srv/plugins/queue")
    assert found["/srv/db/node/private/7"] == ("--bind", "/srv/db/node/private/7")
    assert not [target for target in found if target.startswith("/srv/db/node/private/7/")]


def test_folders_on_the_way_are_made_before_what_lies_in_them_and_open() -> None:
    found = words()

    for folder in ("/closed", "/srv/db/node", "/tmp/bulkhead", "/srv/plugins"):
        assert has(found, "--perms", "0755", "--dir", folder)
    assert found.index("/tmp") < found.index("/tmp/bulkhead") < found.index("/tmp/bulkhead/7-x")
    assert found.index("--tmpfs") < found.index("/tmp/bulkhead")


def test_nothing_is_made_in_a_folder_of_the_host() -> None:
    policy = replace(POLICY, prefixes=("/usr/local/python",), read=("/data", "/data/in/deep"))

    found = words(policy)

    made = [found[n + 1] for n, option in enumerate(found) if option == "--dir"]
    assert not [folder for folder in made if folder.startswith(("/usr/", "/data"))]
    assert "/usr/local/python" not in found  # /usr shows it
    assert "/data/in/deep" not in found


def test_a_writable_grant_within_a_readable_one_stays_writable() -> None:
    found = words(replace(POLICY, read=("/data",), write=("/data/out",)))

    assert binds(found)["/data"][0] == "--ro-bind"
    assert binds(found)["/data/out"][0] == "--bind"
    assert found.index("/data") < found.index("/data/out")


def test_of_two_grants_of_one_path_the_writable_counts() -> None:
    found = words(replace(POLICY, read=("/data",), write=("/data",)))

    assert binds(found)["/data"] == ("--bind", "/data")
    assert found.count("/data") == 2


NAMES = st.sampled_from(["/data", "/data/a", "/data/a/b", "/mnt/x", "/opt/y/z"])


@given(st.lists(NAMES, max_size=4), st.lists(NAMES, max_size=4))
def test_what_was_not_granted_for_writing_is_not_bound_writable(
    read: list[str], write: list[str]
) -> None:
    found = binds(words(replace(POLICY, read=tuple(read), write=tuple(write))))

    writable = {target for target, (option, _) in found.items() if option == "--bind"}
    own = {"/srv/plugins/queue", POLICY.private_dir}
    assert writable - own <= set(write)
    for path in (*read, *write):
        assert any(path == target or path.startswith(f"{target}/") for target in found)


def test_made_up_files_name_the_worker_and_nobody_else() -> None:
    files = made_up_files(1234, 1235)

    assert files["/etc/passwd"].count(b"\n") == 2
    assert b":1234:1235:" in files["/etc/passwd"]
    assert b"bulkhead:x:1235:" in files["/etc/group"]
    assert made_up_files(0, 0)["/etc/passwd"].startswith(b"root:x:0:0:")
