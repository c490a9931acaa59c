import pytest

from engine.lineprotocol.split import line_end, point_start


def lines_of(body: str) -> list[str]:
    lines = []
    start = 0
    while start <= len(body):
        end = line_end(body, start)
        lines.append(body[start:end])
        start = end + 1
    return lines


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        ("", [""]),
        ("foo\nbar\n", ["foo", "bar", ""]),
        ("a\\\nb\nc", ["a\\\nb", "c"]),
        ("m t=v f=1\nnext\n", ["m t=v f=1", "next", ""]),
        ('m f="\nv"\nnext', ['m f="\nv"', "next"]),
        ('m f=\\"\nv"\nnext', ['m f=\\"', 'v"', "next"]),
        ('m g=1,f="\nv"\nnext', ['m g=1,f="\nv"', "next"]),
        ('m f="a\\"\nb"\nnext', ['m f="a\\"\nb"', "next"]),
        ('m f="a\\\\"\nnext', ['m f="a\\\\"', "next"]),
        ('m,t="a\nnext', ['m,t="a', "next"]),
        ('m f="a,b=c\n"\nnext', ['m f="a,b=c\n"', "next"]),
        ('m f=1,"x\nnext', ['m f=1,"x', "next"]),
        ('# c, with = and "\nnext', ['# c, with = and "', "next"]),
        ("a\r\nb", ["a\r", "b"]),
    ],
)
def test_lines_end_outside_quotes_and_escapes(body: str, lines: list[str]) -> None:
    assert lines_of(body) == lines


@pytest.mark.parametrize(
    ("line", "point"),
    [
        ("m f=1", "m f=1"),
        (" \t m f=1", "m f=1"),
        ("# comment", ""),
        ("  # comment", ""),
        ("\r", "\r"),
        ("", ""),
        ("# c\\\n m f=1", "m f=1"),
    ],
)
def test_point_starts_after_blanks_and_comments(line: str, point: str) -> None:
    assert line[point_start(line, 0, len(line)) :] == point
