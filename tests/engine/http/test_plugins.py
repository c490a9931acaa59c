"""Plugin files over HTTP."""

import httpx
import pytest

from engine.plugins.paths import UploadRefused
from engine.plugins.upload import UploadedFile
from engine.triggers.sources import UpdatedPluginNotFound
from tests.http_services import EdgeParts

FILES = "/api/v3/plugins/files"
FOLDER = "/api/v3/plugins/directory"


def test_a_file_is_created(client: httpx.Client, parts: EdgeParts) -> None:
    answer = client.post(FILES, json={"plugin_name": "a/p.py", "content": "x = 'ä'\n"})

    assert (answer.status_code, answer.content) == (200, b"")
    assert parts.sources.seen == [("create_file", "a/p.py", "x = 'ä'\n".encode())]


def test_the_file_of_a_trigger_is_replaced(client: httpx.Client, parts: EdgeParts) -> None:
    body = {"plugin_name": "t", "content": "x"}

    assert client.put(FILES, json=body).status_code == 200
    assert client.put(FILES, json={**body, "db": "db"}).status_code == 200
    assert parts.sources.seen == [
        ("update_file", "t", None, b"x"),
        ("update_file", "t", "db", b"x"),
    ]


def test_a_file_may_come_as_it_is(client: httpx.Client, parts: EdgeParts) -> None:
    headers = {"content-type": "application/octet-stream"}

    answer = client.put(FILES, params={"path": "a/p.py"}, content=b"\xffx", headers=headers)

    assert (answer.status_code, answer.content) == (200, b"")
    assert parts.sources.seen == [("create_file", "a/p.py", b"\xffx")]


def test_the_folder_of_a_trigger_is_replaced(client: httpx.Client, parts: EdgeParts) -> None:
    files = [
        {"relative_path": "__init__.py", "content": "a", "surprise": 1},
        {"relative_path": "m/n.py", "content": ""},
    ]

    answer = client.put(FOLDER, json={"plugin_name": "t", "files": files})

    assert (answer.status_code, answer.content) == (200, b"")
    listed = [UploadedFile("__init__.py", b"a"), UploadedFile("m/n.py", b"")]
    assert parts.sources.seen == [("update_folder", "t", None, listed)]


@pytest.mark.parametrize(
    ("method", "path", "body", "text"),
    [
        ("POST", FILES, {"content": ""}, "serde json error: missing field `plugin_name`"),
        ("POST", FILES, {"plugin_name": "p.py"}, "serde json error: missing field `content`"),
        ("PUT", FILES, {"plugin_name": 1, "content": ""}, "serde json error: invalid type"),
        ("PUT", FOLDER, {"plugin_name": "t"}, "serde json error: missing field `files`"),
        ("PUT", FOLDER, {"plugin_name": "t", "files": {}}, "serde json error: invalid type: map"),
        ("PUT", FOLDER, {"plugin_name": "t", "files": ["a"]}, "serde json error: a file needs"),
        (
            "PUT",
            FOLDER,
            {"plugin_name": "t", "files": [{"relative_path": "a", "content": 1}]},
            "serde json error: a file needs",
        ),
    ],
)
def test_wrong_bodies_are_refused(
    client: httpx.Client, parts: EdgeParts, method: str, path: str, body: dict, text: str
) -> None:
    answer = client.request(method, path, json=body)

    assert answer.status_code == 400
    assert answer.text.startswith(text)
    assert parts.sources.seen == []


def test_text_that_is_no_unicode_is_refused(client: httpx.Client) -> None:
    headers = {"content-type": "application/json"}
    body = b'{"plugin_name": "p.py", "content": "\\ud800"}'

    answer = client.post(FILES, content=body, headers=headers)

    assert (answer.status_code, answer.text[:16]) == (400, "serde json error")


def test_json_is_wanted_and_bodies_are_bounded(client: httpx.Client) -> None:
    large = {"plugin_name": "p.py", "content": "x" * 10_000}

    assert client.post(FILES, content=b"{}").status_code == 415
    assert client.put(FILES, content=b"{}").status_code == 415
    assert client.post(FILES, json=large).status_code == 413
    assert client.put(FILES, params={"path": "p.py"}, content=b"x" * 10_001).status_code == 413


def test_refusals_reach_the_client(client: httpx.Client, parts: EdgeParts) -> None:
    body = {"plugin_name": "t", "content": ""}
    parts.sources.refusal = UpdatedPluginNotFound("t")
    unknown = client.put(FILES, json=body)
    parts.sources.refusal = UploadRefused("too deep")
    refused = client.post(FILES, json=body)

    assert unknown.status_code == 500
    assert unknown.text == "Processing engine error: plugin error: Plugin not found: t"
    assert (refused.status_code, refused.text) == (400, "too deep")
