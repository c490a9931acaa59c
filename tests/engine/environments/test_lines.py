"""What an installer prints becomes lines that may be shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.environments.lines import Lines


def fed(*chunks: bytes) -> tuple[list[str], str]:
    lines = Lines()
    found = [line for chunk in chunks for line in lines.feed(chunk)]
    return [*found, *lines.end()], lines.text


def test_lines_end_with_the_line_or_with_a_return_to_its_beginning() -> None:
    assert fed(b"one\ntwo\rthree\r\n", b"fo", b"ur") == (
        ["one", "two", "three", "four"],
        "one\ntwo\nthree\nfour",
    )


def test_colours_titles_and_links_are_left_out() -> None:
    shown, _ = fed(b"\x1b[1;31merror\x1b[0m: \x1b]8;;http://a\x1b\\text\x1b]8;;\x1b\\\x07\x00!\n")

    assert shown == ["error: text!"]


def test_passwords_of_addresses_are_masked_also_when_they_come_in_pieces() -> None:
    shown, text = fed(b"from https://user:pa", b"ss@index.example/simple\n")

    assert shown == ["from https://***@index.example/simple"]
    assert "pass" not in text


def test_only_the_last_is_kept() -> None:
    _, text = fed(*(b"%06d " % number + b"x" * 93 + b"\n" for number in range(2000)))

    assert len(text.encode()) <= 64 * 1024
    assert text.endswith("x")
    assert text.splitlines()[-1].startswith("001999")


def test_a_line_without_an_end_is_cut() -> None:
    lines = Lines()

    assert lines.feed(b"x" * 100_000)
    assert len(lines.text) <= 64 * 1024


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_whatever_comes_no_control_character_is_shown(chunks: list[bytes]) -> None:
    shown, text = fed(*chunks)

    assert all(line.strip() for line in shown)
    assert not any(ord(letter) < 32 or 126 < ord(letter) < 160 for letter in "".join(shown))
    assert len(text.encode()) <= 64 * 1024


def test_a_password_with_its_own_at_sign_is_masked_whole() -> None:
    lines = Lines()

    assert lines.feed(b"from https://me:p@ss@index.example/simple\n") == [
        "from https://***@index.example/simple"
    ]
