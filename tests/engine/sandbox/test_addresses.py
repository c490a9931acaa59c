from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sandbox.addresses import parse_address, why_not_public

NOT_PUBLIC = [
    "0.0.0.0",  # noqa: S104  nothing is bound
    "0.1.2.3",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.255",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "ff02::1",
    "2001::1",  # Teredo
    "2001:db8::1",
    "2002:7f00:1::",  # 6to4 of 127.0.0.1
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::1",
    "::ffff:192.168.0.1",
]
PUBLIC = [
    "1.1.1.1",
    "93.184.216.34",
    "172.32.0.1",
    "2606:4700::1111",
    "2002:101:101::1",
    "64:ff9b::1.1.1.1",
    "::ffff:1.1.1.1",
]


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_what_belongs_to_a_machine_a_site_or_a_cloud_is_not_public(text: str) -> None:
    assert why_not_public(ip_address(text)) is not None


@pytest.mark.parametrize("text", PUBLIC)
def test_what_is_given_out_to_all_is_public(text: str) -> None:
    assert why_not_public(ip_address(text)) is None


def test_the_reason_is_named() -> None:
    assert why_not_public(ip_address("169.254.169.254")) == "the cloud's metadata service"
    assert why_not_public(ip_address("::ffff:127.0.0.1")) == "loopback"


@given(st.ip_addresses())
def test_what_is_called_public_is_global_for_the_standard_library(address: object) -> None:
    found = parse_address(str(address))
    assert found is not None

    if why_not_public(found) is None and "64:ff9b::" not in str(found):
        inner = getattr(found, "sixtofour", None) or found
        assert inner.is_global


@pytest.mark.parametrize(
    "text", ["example.org", "127.1", "0x7f000001", "2130706433", "", "::1%lo0x"]
)
def test_other_spellings_are_no_addresses_or_not_public(text: str) -> None:
    address = parse_address(text)

    assert address is None or why_not_public(address) is not None


def test_an_address_within_an_address_is_taken_out() -> None:
    assert parse_address("::ffff:10.0.0.1") == ip_address("10.0.0.1")
