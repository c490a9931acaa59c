"""Which answers of plugins are compressed, and how."""

import gzip

import pytest

from engine.http.compression import accepts_gzip, compressed, is_compressible
from engine.model.event import PluginResponse

LONG = b"text " * 1000


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.3", True),
        ("x-gzip", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000, br", False),
        ("", False),
        ("*", False),
        ("deflate", False),
    ],
)
def test_gzip_is_used_only_for_who_names_it(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("text/html", True),
        ("text/csv; charset=utf-8", True),
        ("Application/JSON", True),
        ("application/geo+json", True),
        ("image/svg+xml", True),
        ("application/octet-stream", False),
        ("image/png", False),
        ("", False),
    ],
)
def test_texts_are_worth_it(content_type: str, expected: bool) -> None:
    response = PluginResponse(200, (("Content-Type", content_type),), LONG)

    assert is_compressible(response) is expected


@pytest.mark.parametrize(
    ("status", "header", "body"),
    [
        (200, ("X-A", "b"), b"x" * 1024),
        (206, ("X-A", "b"), LONG),
        (204, ("X-A", "b"), LONG),
        (200, ("Content-Encoding", "br"), LONG),
        (200, ("ETag", '"1"'), LONG),
        (200, ("Cache-Control", "public, No-Transform"), LONG),
    ],
)
def test_what_is_small_partial_or_not_to_be_changed_stays(
    status: int, header: tuple[str, str], body: bytes
) -> None:
    response = PluginResponse(status, (("Content-Type", "text/html"), header), body)

    assert not is_compressible(response)


def test_a_compressed_answer_says_so() -> None:
    response = compressed(PluginResponse(200, (("Content-Type", "text/html"),), LONG))

    assert isinstance(response.body, bytes)
    assert gzip.decompress(response.body) == LONG
    assert response.headers[1:] == (("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding"))
