from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidParameter
from engine.model.grants import (
    GRANT_KINDS,
    Grants,
    HostGrant,
    check_kinds,
    grant_texts,
    parse_grants,
)

labels = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=2, max_size=4).map(".".join)
addresses = st.ip_addresses().map(lambda a: f"[{a}]" if a.version == 6 else f"{a}")
ports = st.just("*") | st.integers(1, 65_535).map(str)
parts = st.text(st.characters(categories=["L", "N", "P"], exclude_characters="/"), min_size=1)
paths = st.lists(parts.filter(lambda part: part not in {".", ".."}), min_size=1, max_size=4).map(
    lambda found: "/" + "/".join(found)
)
texts = st.one_of(
    st.builds("net={}:{}".format, names | addresses, ports),
    st.builds("read={}".format, paths),
    st.builds("write={}".format, paths),
    st.from_regex(r"env=MY_[A-Z0-9_]{0,20}", fullmatch=True),
    st.sampled_from(["net=self", "subprocess"]),
)
lists_of_texts = st.lists(texts, max_size=8)


@given(lists_of_texts)
def test_written_grants_are_read_again(given: list[str]) -> None:
    grants = parse_grants(given)

    assert parse_grants(grant_texts(grants)) == grants


@given(lists_of_texts, st.randoms())
def test_order_and_repetition_make_no_difference(given: list[str], chance: object) -> None:
    shuffled = given * 2
    chance.shuffle(shuffled)

    assert parse_grants(shuffled) == parse_grants(given)


@given(lists_of_texts, lists_of_texts)
def test_joined_grants_are_those_of_both_lists(left: list[str], right: list[str]) -> None:
    assert parse_grants(left).joined(parse_grants(right)) == parse_grants(left + right)


@given(st.text())
def test_any_text_is_a_grant_or_refused(text: str) -> None:
    for written in (text, f"net={text}", f"read=/{text}", f"env={text}"):
        try:
            grants = parse_grants([written])
        except InvalidParameter:
            continue
        assert parse_grants(grant_texts(grants)) == grants


def test_grants_are_written_in_one_form() -> None:
    grants = parse_grants(
        [
            "subprocess",
            "env=TOKEN",
            "read=/b",
            "write=/a",
            "read=/a",
            "net=self",
            " net=API.Example.com.:443 ",
            "net=[2001:DB8::0]:*",
            "net=10.0.0.1:80",
        ]
    )

    assert grants == Grants(
        hosts=(
            HostGrant("10.0.0.1", 80),
            HostGrant("2001:db8::", None),
            HostGrant("api.example.com", 443),
        ),
        self_http=True,
        read=("/b",),
        write=("/a",),
        variables=("TOKEN",),
        subprocess=True,
    )
    assert grant_texts(grants) == [
        "net=10.0.0.1:80",
        "net=[2001:db8::]:*",
        "net=api.example.com:443",
        "net=self",
        "read=/b",
        "write=/a",
        "env=TOKEN",
        "subprocess",
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("net=foo", "grant 'net=foo' lacks a port; write net=foo:443 or net=foo:*"),
        ("net=foo:", "lacks a port; write net=foo:443 or net=foo:*"),
        ("net=[::1]", "lacks a port; write net=[::1]:443 or net=[::1]:*"),
        ("net=[::1", "lacks a port; write net=[::1]:443 or net=[::1]:*"),
        ("net=[::1]443", "'?' is no port"),
        ("net=::1", "an IPv6 address stands in brackets, as net=[::1]:443"),
        ("net=[::g]:1", "'::g' is no IPv6 address"),
        ("net=[fe80::1%eth0]:1", "an address with a zone cannot be granted"),
        ("net=foo:0", "'0' is no port from 1 to 65535 and not *"),
        ("net=foo:65536", "'65536' is no port from 1 to 65535 and not *"),
        ("net=foo:https", "'https' is no port"),
        ("net=*.example.com:443", "'*.example.com' is no host name"),
        ("net=exämple.com:443", "in ASCII and without wildcards"),
        ("net=-a:443", "'-a' is no host name"),
        ("net=:443", "'' is no host name"),
        ("net=http://a:443", "an IPv6 address stands in brackets"),
        (f"net={'a.' * 127}a:443", "is no host name"),
        ("net=127.1:80", "'127.1' is no IPv4 address"),
        ("net=0x7f000001:80", "'0x7f000001' is no IPv4 address"),
        ("net=2130706433:80", "'2130706433' is no IPv4 address"),
        ("net=self:8181", "this server is granted without a port: net=self"),
        ("net=", "unknown grant 'net='; write one of net=HOST:PORT, net=self, read=PATH"),
        ("read=a", "a path starts with / and has no '.', '..', '//' or / at its end"),
        ("read=/a/../b", "a path starts with / and has no"),
        ("write=/a/./b", "a path starts with / and has no"),
        ("write=/a//b", "a path starts with / and has no"),
        ("write=/a/", "a path starts with / and has no"),
        ("read=/a\0b", "the path is too long or has control characters"),
        ("read=/\udc80", "the path is too long or has control characters"),
        (f"read=/{'a' * 4095}", "the path is too long or has control characters"),
        ("env=1A", "'1A' is no name of a variable"),
        ("env=A=1", "letters, digits and _ only, without its value"),
        ("env=LD_PRELOAD", "the server sets LD_PRELOAD itself, or it changes how programs run"),
        ("env=http_proxy", "the server sets http_proxy itself"),
        ("env=PLUGIN_DIR", "the server sets PLUGIN_DIR itself"),
        ("subprocess=yes", "unknown grant 'subprocess=yes'; write one of"),
        ("disk", "unknown grant 'disk'; write one of net=HOST:PORT, net=self, read=PATH, write="),
        ("", "unknown grant ''"),
    ],
)
def test_other_grants_are_refused_with_their_right_form(text: str, complaint: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        parse_grants([text])

    assert complaint in str(caught.value)


def test_a_host_grant_covers_its_port_or_any() -> None:
    assert HostGrant("a", 443).covers("a", 443)
    assert not HostGrant("a", 443).covers("a", 80)
    assert not HostGrant("a", None).covers("b", 80)
    assert HostGrant("a", None).covers("a", 80)


@pytest.mark.parametrize(
    ("text", "expected"), [("net=self", True), ("net=a:1", True), ("env=A", False)]
)
def test_the_network_needs_a_grant(text: str, expected: bool) -> None:
    assert parse_grants([text]).has_network is expected


@given(lists_of_texts)
def test_a_server_that_allows_all_kinds_refuses_none(given: list[str]) -> None:
    check_kinds(parse_grants(given), GRANT_KINDS)


@pytest.mark.parametrize(
    ("text", "allowed", "complaint"),
    [
        (
            "net=a:1",
            ("net=self", "env"),
            "grant 'net=a:1' is not allowed by this server; it allows net=self, env",
        ),
        ("net=self", ("net",), "grant 'net=self' is not allowed by this server; it allows net"),
        ("subprocess", (), "grant 'subprocess' is not allowed by this server; it allows none"),
    ],
)
def test_kinds_that_are_not_allowed_are_named(
    text: str, allowed: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(InvalidParameter) as caught:
        check_kinds(parse_grants([text]), allowed)

    assert str(caught.value) == complaint
