from ipaddress import ip_address

import pytest

from engine.model.grants import Grants, HostGrant, parse_grants
from engine.sandbox.proxy_request import ProxyRequest, Refusal, Target
from engine.sandbox.reach import ToAddress, ToName, ToServer, choose_route, reachable

OWN = ("0.0.0.0", 8181)  # noqa: S104  nothing is bound


def tunnel(host: str, port: int) -> ProxyRequest:
    return ProxyRequest(Target(host, port), b"")


def plain(host: str, port: int, path: str = "/") -> ProxyRequest:
    return ProxyRequest(Target(host, port), b"", path)


def granted(*texts: str) -> Grants:
    return parse_grants(texts)


@pytest.mark.parametrize("grant", ["net=example.org:443", "net=example.org:*"])
def test_a_granted_name_is_to_be_resolved(grant: str) -> None:
    route = choose_route(tunnel("example.org", 443), granted(grant), OWN)

    assert route == ToName("example.org", 443)


@pytest.mark.parametrize(
    ("host", "port"), [("example.org", 80), ("www.example.org", 443), ("org", 443), ("::2", 443)]
)
def test_what_is_not_granted_is_refused_with_the_missing_grant(host: str, port: int) -> None:
    refusal = choose_route(tunnel(host, port), granted("net=example.org:443"), OWN)

    assert refusal == Refusal(403, f"missing grant net={Target(host, port)}")


def test_any_address_may_be_granted_literally() -> None:
    grants = granted("net=10.0.0.5:5432", "net=[fe80::1]:*", "net=[::ffff:10.0.0.6]:80")

    assert choose_route(tunnel("10.0.0.5", 5432), grants, OWN) == ToAddress(
        ip_address("10.0.0.5"), 5432
    )
    assert choose_route(tunnel("fe80::1", 1), grants, OWN) == ToAddress(ip_address("fe80::1"), 1)
    assert choose_route(tunnel("10.0.0.6", 80), grants, OWN) == ToAddress(
        ip_address("10.0.0.6"), 80
    )
    assert isinstance(choose_route(tunnel("10.0.0.5", 22), grants, OWN), Refusal)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_this_server_is_reached_by_each_of_its_local_names(host: str) -> None:
    route = choose_route(plain(host, 8181, "/api/v3/engine/alert?x=/.."), granted("net=self"), OWN)

    assert route == ToServer("127.0.0.1", 8181)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::"])  # noqa: S104
def test_a_granted_address_opens_no_more_of_this_server_than_its_own_grant(host: str) -> None:
    shown = f"[{host}]" if ":" in host else host
    literal = granted(f"net={shown}:*")
    both = literal.joined(granted("net=self"))

    assert choose_route(tunnel(host, 8181), literal, OWN) == Refusal(403, "missing grant net=self")
    assert isinstance(choose_route(plain(host, 8181, "/api/v3/write_lp"), both, OWN), Refusal)
    assert choose_route(plain(host, 8181, "/ping"), both, OWN) == ToServer("127.0.0.1", 8181)
    assert isinstance(choose_route(tunnel(host, 8182), literal, OWN), ToAddress)


def test_a_server_bound_to_one_address_is_reached_there() -> None:
    route = choose_route(plain("localhost", 1, "/ping"), granted("net=self"), ("10.1.1.1", 1))

    assert route == ToServer("10.1.1.1", 1)


def test_this_server_is_not_reached_without_its_grant_or_at_another_port() -> None:
    request = plain("localhost", 8181, "/ping")

    assert choose_route(request, Grants(), OWN) == Refusal(403, "missing grant net=self")
    assert choose_route(plain("localhost", 22), granted("net=self"), OWN) == Refusal(
        403, "missing grant net=localhost:22"
    )


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/v3/configure/processing_engine_trigger",
        "/api/v3/engine",
        "/api/v3/engine/../configure/database",
        "/api/v3/engine/%2e%2e/configure/database",
        "/api/v3/engine/..%2fconfigure",
        "//api/v3/engine/x",
        "/health/../api/v3/configure/database",
    ],
)
def test_of_this_server_only_plugins_are_reached(path: str) -> None:
    refusal = choose_route(plain("localhost", 8181, path), granted("net=self"), OWN)

    assert refusal == Refusal(403, "net=self allows /api/v3/engine/ only")


def test_no_tunnel_leads_to_this_server() -> None:
    assert isinstance(choose_route(tunnel("localhost", 8181), granted("net=self"), OWN), Refusal)


NAME = ToName("example.org", 443)
PUBLIC, PRIVATE = ip_address("93.184.216.34"), ip_address("10.0.0.5")


def test_of_a_name_only_public_addresses_are_reached() -> None:
    assert reachable([PRIVATE, PUBLIC], frozenset(), NAME, Grants()) == (PUBLIC,)


def test_a_name_with_private_addresses_only_is_refused_with_what_is_missing() -> None:
    assert reachable([PRIVATE], frozenset(), NAME, Grants()) == Refusal(
        403, "example.org has 10.0.0.5, which is private; missing grant net=10.0.0.5:443"
    )


def test_a_private_address_of_a_name_is_reached_when_it_is_granted_as_well() -> None:
    assert reachable([PRIVATE], frozenset(), NAME, granted("net=10.0.0.5:443")) == (PRIVATE,)


def test_a_host_that_the_operator_named_is_reached_wherever_its_name_leads() -> None:
    operators = Grants(hosts=(HostGrant("example.org", 443, at_any_address=True),))

    assert reachable([PRIVATE, PUBLIC], frozenset([PRIVATE]), NAME, operators) == (PRIVATE, PUBLIC)
    other = ToName("example.com", 443)
    assert isinstance(reachable([PRIVATE], frozenset(), other, operators), Refusal)


def test_a_public_address_of_this_machine_is_refused() -> None:
    refusal = reachable([PUBLIC], frozenset([PUBLIC]), NAME, Grants())

    assert isinstance(refusal, Refusal)
    assert "of this machine" in refusal.text


def test_a_name_without_addresses_is_refused() -> None:
    assert reachable([], frozenset(), NAME, Grants()) == Refusal(403, "example.org has no address")
