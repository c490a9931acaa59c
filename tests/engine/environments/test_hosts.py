"""What leads an installer to its index, read from the variables of the server."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.environments.hosts import index_folders, index_hosts
from engine.errors import InvalidParameter

PYPI = [("files.pythonhosted.org", 443), ("pypi.org", 443)]


def hosts(variables: dict[str, str], *more: str) -> list[tuple[str, int | None]]:
    return [(grant.host, grant.port) for grant in index_hosts(variables, more)]


def test_without_a_word_it_is_the_public_one() -> None:
    assert hosts({}) == PYPI


@pytest.mark.parametrize("name", ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"])
def test_an_index_in_place_of_pypi_is_the_only_host(name: str) -> None:
    assert hosts({name: "https://user:pass@Index.Example/simple"}) == [("index.example", 443)]


def test_indexes_beside_it_are_added() -> None:
    variables = {
        "UV_INDEX": "inner=http://10.0.0.5:8080/simple other=https://b.example",
        "PIP_EXTRA_INDEX_URL": "https://[2001:db8::1]:444/simple\nhttps://c.example/",
    }

    found = [("10.0.0.5", 8080), ("2001:db8::1", 444), ("b.example", 443), ("c.example", 443)]
    assert hosts(variables) == sorted([*found, *PYPI])


def test_the_operators_own_hosts_have_the_port_of_https_unless_they_say_another() -> None:
    variables = {"UV_DEFAULT_INDEX": "https://a.example"}

    assert hosts(variables, "b.example", "c.example:80", "d.example:*") == [
        ("a.example", 443),
        ("b.example", 443),
        ("c.example", 80),
        ("d.example", None),
    ]


def test_all_are_reached_wherever_their_names_lead() -> None:
    assert all(grant.at_any_address for grant in index_hosts({}, ["a.example"]))


def test_a_host_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidParameter):
        index_hosts({}, ["https://a.example/simple"])


def test_an_index_that_is_none_is_left_to_the_installer() -> None:
    assert hosts({"UV_DEFAULT_INDEX": "https://[a"}) == []


def test_folders_in_place_of_an_index_are_found(tmp_path: Path) -> None:
    wheels, more = tmp_path / "wheels", tmp_path / "more"
    wheels.mkdir()
    more.mkdir()
    variables = {
        "UV_FIND_LINKS": f"{wheels},{tmp_path}/missing,https://a.example/links",
        "UV_DEFAULT_INDEX": f"local=file://{more}",
    }

    assert set(index_folders(variables)) == {wheels, more}
