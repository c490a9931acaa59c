"""What the options about packages come to."""

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.cli import checks
from engine.cli.failures import BadValue
from engine.cli.package_options import package_settings
from engine.config import Config, PackagesConfig

NOTHING = {
    "environment_dir": None,
    "wheel_dir": None,
    "cache_dir": None,
    "build_from_source": False,
    "python_dirs": [],
    "hosts": [],
    "retention": None,
}


def read(settings: dict[str, object]) -> PackagesConfig:
    whole = {"node_id": "n", "data_dir": "/d", "plugin_dir": "/p", "packages": settings}
    return Config.from_mapping(whole).packages


def test_options_that_are_not_given_leave_the_defaults() -> None:
    assert read(package_settings("discover", **NOTHING)) == PackagesConfig()


def test_options_come_to_absolute_folders_and_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    given = {
        "environment_dir": Path("env"),
        "wheel_dir": Path("~/wheels"),
        "cache_dir": Path("/cache"),
        "build_from_source": True,
        "python_dirs": [Path("/opt/a"), Path("b")],
        "hosts": ["files.example.com:443"],
        "retention": "12h",
    }

    assert read(package_settings("pip", **given)) == PackagesConfig(
        manager="pip",
        environment_dir=f"{tmp_path}/env",
        wheel_dir="/home/someone/wheels",
        cache_dir="/cache",
        build_from_source=True,
        python_dirs=("/opt/a", f"{tmp_path}/b"),
        hosts=("files.example.com:443",),
        unused_days=0.5,
    )


def test_hosts_without_a_port_are_reached_by_https() -> None:
    hosts = checks.package_hosts(["packages.example", "a.b:8080", "[::1]", "[::1]:80"])

    assert hosts == ["packages.example:443", "a.b:8080", "[::1]:443", "[::1]:80"]


@pytest.mark.parametrize(
    "text", ["", "self", "https://packages.example", "::1", "[::1", "a:0", "*.a.org"]
)
def test_what_is_no_host_is_refused_with_its_option(text: str) -> None:
    with pytest.raises(BadValue, match="package-host"):
        checks.package_hosts([text])


def test_a_folder_of_wheels_that_is_not_there_is_refused(bulkhead: Callable) -> None:
    ended = bulkhead("serve", "--node-id", "n", "--wheel-dir", "nowhere")

    assert ended.status == 2
    assert "'nowhere' does not exist" in ended.err
