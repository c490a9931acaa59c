import pytest

from engine.errors import InvalidParameter
from engine.model.grant_paths import check_paths
from engine.model.grants import Grants


@pytest.mark.parametrize(
    "path",
    [
        "/srv/models",
        "/srv",
        "/etc/hosts",
        "/tmp/x",
        "/data/plugins/models",
        "/data/plugins/a.py",
        "/database",
    ],
)
def test_foreign_paths_and_those_directly_in_the_plugin_folder_are_granted(path: str) -> None:
    check_paths(Grants(read=(path,), write=(path,)), "/data/plugins", "/data")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/", "it holds the plugin folder, and with it other plugins"),
        ("/data", "it holds the plugin folder, and with it other plugins"),
        ("/data/plugins", "it holds the plugin folder, and with it other plugins"),
        ("/data/plugins/a/b", "of the plugin folder, only what lies directly in it can be granted"),
        ("/data/plugins/.venv", "a plugin has its environment without a grant"),
        ("/data/node0/wal", "the server keeps its data there"),
        ("/proc", "a worker has a /proc of its own"),
        ("/proc/1", "a worker has a /proc of its own"),
        ("/sys/fs/cgroup", "a worker has a /sys of its own"),
        ("/dev/sda", "a worker has a /dev of its own"),
        ("/etc", "a worker has a /etc of its own; grant what is needed below it"),
    ],
)
def test_paths_of_the_server_and_the_kernel_are_refused(path: str, why: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        check_paths(Grants(read=(path,)), "/data/plugins", "/data")
    with pytest.raises(InvalidParameter, match="grant 'write="):
        check_paths(Grants(write=(path,)), "/data/plugins", "/data")

    assert str(caught.value) == f"grant 'read={path}' cannot be given: {why}"


def test_the_data_folder_is_refused_where_the_plugin_folder_lies_elsewhere() -> None:
    for path in ("/data", "/", "/data/x"):
        with pytest.raises(InvalidParameter):
            check_paths(Grants(read=(path,)), "/srv/plugins", "/data")
