from pathlib import Path

import pytest

from engine.config import Config, SandboxConfig
from engine.errors import InvalidParameter
from engine.model.grants import Grants, parse_grants
from engine.model.limits import Limits
from engine.triggers.admission import Admission


def admission(folder: Path, sandbox: SandboxConfig | None = None) -> Admission:
    plugins, data = str(folder / "plugins"), str(folder / "data")
    return Admission(Config("n", data, plugins, sandbox=sandbox or SandboxConfig()))


def test_a_server_without_ceilings_gives_what_is_asked_for(tmp_path: Path) -> None:
    texts = ["net=a:1", "net=self", f"read={tmp_path}/plugins/x", "write=/srv", "env=A"]

    admission(tmp_path).check(parse_grants([*texts, "subprocess"]), Limits(memory_bytes=2**40))


@pytest.mark.parametrize(
    ("grants", "limits", "text"),
    [
        (Grants(subprocess=True), Limits(), "grant 'subprocess' is not allowed by this server"),
        (Grants(read=("/proc",)), Limits(), "grant 'read=/proc' cannot be given"),
        (Grants(), Limits(memory_bytes=2**31), "limit memory=2GiB is above this server's ceiling"),
    ],
)
def test_what_a_server_does_not_give_is_named(
    tmp_path: Path, grants: Grants, limits: Limits, text: str
) -> None:
    sandbox = SandboxConfig(allowed_grants=("read",), max_limits=("memory=1GiB",))

    with pytest.raises(InvalidParameter, match=text):
        admission(tmp_path, sandbox).check(grants, limits)


@pytest.mark.parametrize("target", ["data", "data/node0", "plugins", "plugins/a/b"])
def test_a_link_opens_no_folder_of_the_server(tmp_path: Path, target: str) -> None:
    (tmp_path / target).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / target)

    with pytest.raises(InvalidParameter, match="cannot be given"):
        admission(tmp_path).check(Grants(read=(f"{tmp_path}/link",)), Limits())


def test_a_folder_of_the_server_is_found_behind_its_own_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "real")

    with pytest.raises(InvalidParameter, match="the server keeps its data there"):
        admission(tmp_path).check(Grants(write=(f"{tmp_path}/real/x",)), Limits())


@pytest.mark.parametrize("granted", ["alerts", "alone.py"])
def test_no_plugin_may_write_where_plugins_lie(tmp_path: Path, granted: str) -> None:
    plugins = tmp_path / "plugins"
    (plugins / "alerts" / "deep").mkdir(parents=True)
    (plugins / "alerts" / "deep" / "mail.py").write_text("")
    (plugins / "alone.py").write_text("")
    (plugins / "queue").mkdir()
    (plugins / "queue" / "1.json").write_text("{}")
    rules = admission(tmp_path)

    with pytest.raises(InvalidParameter, match="plugins lie in it"):
        rules.check(Grants(write=(str(plugins / granted),)), Limits())
    rules.check(Grants(read=(str(plugins / granted),), write=(str(plugins / "queue"),)), Limits())
