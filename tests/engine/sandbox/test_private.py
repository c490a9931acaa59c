"""The private folder: links of ours, files of the plugin's, and traps that do nothing."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from engine.sandbox.policy import Layers, Policy, ViewEntry
from engine.sandbox.private import prepare

NAMESPACES = Layers(bwrap="/usr/bin/bwrap", landlock_abi=7, seccomp=True)
LANDLOCK_ONLY = Layers(landlock_abi=7, seccomp=True)


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "alert.py").write_text("")
    (plugins / "x.toml").write_text("")
    return Policy(
        trigger_id=7,
        uid=None,
        plugin_dir=str(plugins),
        private_dir=str(tmp_path / "node" / "private" / "7"),
        sockets_dir=str(tmp_path / "sockets"),
        runtime_dir=str(tmp_path / "runtime"),
        environment_dir=str(plugins / ".venv"),
        prefixes=(),
        view=(
            ViewEntry("alert.py", str(plugins / "alert.py")),
            ViewEntry("x.toml", str(plugins / "x.toml")),
            ViewEntry("sub/deep.py", str(plugins / "sub" / "deep.py")),
        ),
    )


def links(folder: str) -> dict[str, str]:
    found = (path for path in Path(folder).rglob("*") if path.is_symlink())
    return {str(path.relative_to(folder)): str(path.readlink()) for path in found}


def test_the_folder_is_closed_to_others_and_holds_links_into_the_view(policy: Policy) -> None:
    prepare(policy, NAMESPACES)

    folder = Path(policy.private_dir)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.parent.stat().st_mode & 0o777 == 0o711
    assert links(policy.private_dir) == {
        ".venv": policy.environment_dir,
        "alert.py": f"{policy.plugin_dir}/alert.py",
        "sub/deep.py": f"{policy.plugin_dir}/sub/deep.py",
        "x.toml": f"{policy.plugin_dir}/x.toml",
    }


def test_without_namespaces_links_lead_to_the_host_and_tmp_lies_inside(policy: Policy) -> None:
    prepare(policy, LANDLOCK_ONLY)

    assert links(policy.private_dir)["alert.py"] == f"{policy.plugin_dir}/alert.py"
    assert links(policy.private_dir)[".venv"] == policy.environment_dir
    assert (Path(policy.private_dir) / ".tmp").is_dir()


def test_links_follow_the_layers_and_the_view(policy: Policy) -> None:
    prepare(policy, LANDLOCK_ONLY)
    (Path(policy.private_dir) / ".tmp" / "old").touch()

    prepare(replace(policy, view=policy.view[:1]), NAMESPACES)

    found = links(policy.private_dir)
    assert found.pop("sub/deep.py").endswith("plugins/sub/deep.py")  # dangles where it harms nobody
    assert found == {
        ".venv": policy.environment_dir,
        "alert.py": f"{policy.plugin_dir}/alert.py",
    }
    assert not (Path(policy.private_dir) / ".tmp").exists()


def test_files_and_folders_of_the_plugin_stay(policy: Policy) -> None:
    folder = Path(policy.private_dir)
    folder.mkdir(parents=True)
    (folder / "x.toml").write_text("mine")
    (folder / "alert.py").mkdir()
    (folder / "queue").write_text("kept")
    (folder / "own-link").symlink_to("queue")

    prepare(policy, NAMESPACES)
    prepare(policy, NAMESPACES)

    assert (folder / "x.toml").read_text() == "mine"
    assert (folder / "alert.py").is_dir()
    assert (folder / "queue").read_text() == "kept"
    assert links(policy.private_dir)["own-link"] == "queue"


@pytest.mark.parametrize("layers", [NAMESPACES, LANDLOCK_ONLY])
def test_planted_links_create_nothing_outside(
    policy: Policy, layers: Layers, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = Path(policy.private_dir)
    folder.mkdir(parents=True)
    (folder / "x.toml").symlink_to(outside / "evil")
    (folder / ".venv").symlink_to(outside / "venv")
    (folder / "sub").symlink_to(outside)
    (folder / ".tmp").symlink_to(outside)

    prepare(policy, layers)

    assert list(outside.iterdir()) == []
    assert (folder / "sub").is_dir()
    assert not (folder / "sub").is_symlink()
    assert not (folder / ".tmp").is_symlink()
    assert {"x.toml", ".venv", "sub/deep.py"} <= set(links(policy.private_dir))


def test_a_file_where_a_folder_is_needed_stays(policy: Policy) -> None:
    folder = Path(policy.private_dir)
    folder.mkdir(parents=True)
    (folder / "sub").write_text("mine")

    prepare(policy, NAMESPACES)

    assert (folder / "sub").read_text() == "mine"


def test_a_private_folder_that_is_a_link_is_refused(policy: Policy, tmp_path: Path) -> None:
    folder = Path(policy.private_dir)
    folder.parent.mkdir(parents=True)
    (tmp_path / "outside").mkdir(mode=0o755)
    folder.symlink_to(tmp_path / "outside")

    with pytest.raises(NotADirectoryError):
        prepare(policy, NAMESPACES)

    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has user ids to give")
def test_the_folder_and_what_we_make_in_it_belong_to_the_worker(policy: Policy) -> None:
    prepare(replace(policy, uid=0x7000_0007), LANDLOCK_ONLY)

    folder = Path(policy.private_dir)
    owners = [path.stat().st_uid for path in (folder, folder / "sub", folder / ".tmp")]
    assert owners == [0x7000_0007] * 3
