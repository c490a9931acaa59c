"""The name of the shared environment: ours, the user's, or ours from before a move."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.environments.shared import SharedPlace

LOCK = "0123456789abcdef"


@pytest.fixture
def shared(tmp_path: Path) -> SharedPlace:
    (tmp_path / "data" / "environments" / LOCK).mkdir(parents=True)
    return SharedPlace(tmp_path / "plugins" / ".venv", tmp_path / "data" / "environments")


def names(shared: SharedPlace) -> list[str]:
    return sorted(path.name for path in shared.path.parent.iterdir())


def test_the_link_is_replaced_and_stays_ours(shared: SharedPlace, tmp_path: Path) -> None:
    for lock in ("f" * 16, LOCK):
        shared.lead_to(tmp_path / "data" / "environments" / lock)

    assert shared.path.resolve() == tmp_path / "data" / "environments" / LOCK
    assert not shared.is_foreign()
    assert names(shared) == [".venv"]


def test_what_a_killed_server_left_beside_the_link_goes_with_the_next_one(
    shared: SharedPlace, tmp_path: Path
) -> None:
    shared.path.parent.mkdir()
    (shared.path.parent / ".venv-next").symlink_to(tmp_path / "nowhere")

    shared.lead_to(tmp_path / "data" / "environments" / LOCK)

    assert names(shared) == [".venv"]


def test_a_link_to_where_the_data_folder_was_is_ours(shared: SharedPlace, tmp_path: Path) -> None:
    shared.lead_to(tmp_path / "data" / "environments" / LOCK)
    (tmp_path / "data").rename(tmp_path / "moved")
    moved = SharedPlace(shared.path, tmp_path / "moved" / "environments")

    assert not moved.is_foreign()
    moved.lead_to(tmp_path / "moved" / "environments" / LOCK)
    assert moved.path.resolve() == tmp_path / "moved" / "environments" / LOCK


@pytest.mark.parametrize("target", ["elsewhere/environments/mine", f"elsewhere/{LOCK}", "mine"])
def test_a_link_of_the_users_own_stays_the_users_when_it_leads_nowhere(
    shared: SharedPlace, tmp_path: Path, target: str
) -> None:
    shared.path.parent.mkdir()
    shared.path.symlink_to(tmp_path / target)

    assert shared.is_foreign()


def test_the_environment_of_another_server_is_not_ours(shared: SharedPlace, tmp_path: Path) -> None:
    shared.lead_to(tmp_path / "data" / "environments" / LOCK)

    assert SharedPlace(shared.path, tmp_path / "other" / "environments").is_foreign()
