"""Which addresses belong to the public network, and which to a machine, a site or a cloud.

A granted name is resolved by the server, so its owner decides where a connection goes. Therefore
only public addresses are reached by name. What carries an IPv4 address inside (mapped, 6to4,
NAT64) is judged by that address.

Pure; any thread may call.

Source: the IANA registries of special-purpose IPv4 and IPv6 addresses.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

__all__ = ["Address", "parse_address", "why_not_public"]

Address = IPv4Address | IPv6Address

# The first that holds names the reason, so narrow ones stand first.
_V4_REASONS = (
    ("169.254.169.254/32", "the cloud's metadata service"),
    ("168.63.129.16/32", "the cloud's metadata service"),
    ("100.100.100.200/32", "the cloud's metadata service"),
    ("192.0.0.192/32", "the cloud's metadata service"),
    ("0.0.0.0/8", "unspecified"),
    ("127.0.0.0/8", "loopback"),
    ("10.0.0.0/8", "private"),
    ("172.16.0.0/12", "private"),
    ("192.168.0.0/16", "private"),
    ("100.64.0.0/10", "shared by a carrier"),
    ("169.254.0.0/16", "link-local"),
    ("192.0.0.0/24", "reserved"),
    ("192.0.2.0/24", "for documentation"),
    ("198.51.100.0/24", "for documentation"),
    ("203.0.113.0/24", "for documentation"),
    ("192.88.99.0/24", "a 6to4 relay"),
    ("198.18.0.0/15", "for benchmarks"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
)
_V6_REASONS = (
    ("fd00:ec2::254/128", "the cloud's metadata service"),
    ("fd20:ce::254/128", "the cloud's metadata service"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "private"),
    ("ff00::/8", "multicast"),
    ("2001::/23", "reserved"),
    ("2001:db8::/32", "for documentation"),
    ("3fff::/20", "for documentation"),
)
_V4_TABLE = [(IPv4Network(network), reason) for network, reason in _V4_REASONS]
_V6_TABLE = [(IPv6Network(network), reason) for network, reason in _V6_REASONS]
# All that is given out to the public so far.
_V6_PUBLIC = IPv6Network("2000::/3")
_NAT64 = ip_network("64:ff9b::/96")
_V4_MASK = 0xFFFF_FFFF


def parse_address(text: str) -> Address | None:
    """Return the address that a text is, or None for a name.

    An IPv4 address written as IPv6 (`::ffff:10.0.0.1`) comes back as what it is.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def why_not_public(address: Address) -> str | None:
    """Return what kind of address this is, or None for a public one."""
    if isinstance(address, IPv4Address):
        return next((reason for network, reason in _V4_TABLE if address in network), None)
    inner = _carried(address)
    if inner is not None:
        return why_not_public(inner)
    reason = next((reason for network, reason in _V6_TABLE if address in network), None)
    if reason is None and address not in _V6_PUBLIC:
        return "reserved"
    return reason


def _carried(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & _V4_MASK)
    return address.ipv4_mapped or address.sixtofour
