"""Packages over HTTP."""

import httpx
import pytest

from engine.environments.environment import BrokenEnvironment
from engine.environments.failures import InstallFailed, PackagesUnavailable
from engine.environments.installation import Wanted
from engine.environments.installer import InstallDisabled
from engine.environments.requirements import PackageRefused
from tests.http_services import CHANGE, EdgeParts

PACKAGES = "/api/v3/configure/plugin_environment/install_packages"
REQUIREMENTS = "/api/v3/configure/plugin_environment/install_requirements"


def test_packages_are_installed(client: httpx.Client, parts: EdgeParts) -> None:
    answer = client.post(PACKAGES, json={"packages": ["pandas", "six>=1"]})

    assert (answer.status_code, answer.json()) == (200, CHANGE.to_json())
    assert parts.provisions.seen == [("install", Wanted(packages=("pandas", "six>=1")))]


def test_the_packages_of_a_file_are_installed(client: httpx.Client, parts: EdgeParts) -> None:
    answer = client.post(REQUIREMENTS, json={"requirements_location": "/srv/listed.txt"})

    assert (answer.status_code, answer.json()) == (200, CHANGE.to_json())
    assert parts.provisions.seen == [("install", Wanted(requirements="/srv/listed.txt"))]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InstallDisabled(), 403),
        (PackageRefused("'-x' is an option, not a package"), 400),
        (PackagesUnavailable("no such package"), 422),
        (InstallFailed("no index"), 500),
        (BrokenEnvironment("no Python"), 500),
    ],
)
def test_a_failure_is_none_of_the_good_answers(
    client: httpx.Client, parts: EdgeParts, error: Exception, status: int
) -> None:
    parts.provisions.answer = error

    answer = client.post(PACKAGES, json={"packages": ["pandas"]})

    assert (answer.status_code, answer.text) == (status, str(error))


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        (PACKAGES, {}, "serde json error: missing field `packages`"),
        (PACKAGES, {"packages": "six"}, "serde json error: invalid type: string"),
        (PACKAGES, {"packages": [1]}, "serde json error: invalid type: integer"),
        (REQUIREMENTS, {}, "serde json error: missing field `requirements_location`"),
        (REQUIREMENTS, {"requirements_location": ""}, "must be the path of a file"),
        (REQUIREMENTS, {"requirements_location": "http://h/x.txt"}, "must be the path of a file"),
        (REQUIREMENTS, {"requirements_location": "a\0b"}, "must be the path of a file"),
    ],
)
def test_other_bodies_are_refused(
    client: httpx.Client, parts: EdgeParts, path: str, body: object, text: str
) -> None:
    answer = client.post(path, json=body)

    assert answer.status_code == 400
    assert text in answer.text
    assert parts.provisions.seen == []


def test_a_body_has_to_be_called_json(client: httpx.Client) -> None:
    assert client.post(PACKAGES, content=b'{"packages":["six"]}').status_code == 415
