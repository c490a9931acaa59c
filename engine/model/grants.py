"""Grants of a trigger: what its plugin may reach beyond its own folder.

    net=HOST:PORT    connections to a host, by name or literal address; PORT may be *
    net=self         this server's own HTTP port
    read=PATH        a file or folder of the server's machine, read-only
    write=PATH       likewise, to be changed as well
    env=NAME         an environment variable of the server
    subprocess       programs and processes of its own

A set of grants has one canonical form: each once, sorted, host names in lower case.
Pure; may be called from any thread. Whether a path exists, or where a symbolic link leads, is not
known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from engine.errors import InvalidParameter

__all__ = ["GRANT_KINDS", "Grants", "HostGrant", "check_kinds", "grant_texts", "parse_grants"]

# As `serve --allow-grant` names them.
GRANT_KINDS = ("net", "net=self", "read", "write", "env", "subprocess")
_FORMS = "net=HOST:PORT, net=self, read=PATH, write=PATH, env=NAME, subprocess"
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_NUMERIC_END = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)")
_LONGEST_HOST = 253
_PORT = re.compile(r"[0-9]{1,5}")
_LARGEST_PORT = 65_535
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
# What the server sets itself, or what changes how programs are loaded and run.
_OWN_VARIABLES = re.compile(
    r"PATH|HOME|TZ|TMPDIR|VIRTUAL_ENV|PLUGIN_DIR|INFLUXDB3_PLUGIN_DIR"
    r"|(?:HTTPS?|ALL|NO|FTP)_PROXY|LD_.*|PYTHON.*|GCONV_PATH|MALLOC_.*|GLIBC_TUNABLES",
    re.IGNORECASE,
)
_LONGEST_PATH = 4095


@dataclass(frozen=True, slots=True, order=True)
class HostGrant:
    """A host that may be connected to.

    Args:
        host: a name in lower case, or a literal address without brackets.
        port: None is any.
        at_any_address: whether a name is reached wherever it leads. Never so for a plugin: only
            for hosts that the operator of the server named, whose index may be in its own network.
    """

    host: str
    port: int | None
    at_any_address: bool = False

    def covers(self, host: str, port: int) -> bool:
        """Tell whether a connection to a host, written likewise, is granted."""
        return host == self.host and self.port in (None, port)


@dataclass(frozen=True, slots=True)
class Grants:
    """What a plugin may reach; nothing by default.

    Args:
        hosts: that it may connect to.
        self_http: whether it may call this server's HTTP port.
        read: absolute paths that it may read; none of those that it may also write.
        write: absolute paths that it may read and write.
        variables: names of environment variables that it gets.
        subprocess: whether it may start processes.
    """

    hosts: tuple[HostGrant, ...] = ()
    self_http: bool = False
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    subprocess: bool = False

    @property
    def has_network(self) -> bool:
        """Whether it may connect to anything."""
        return self.self_http or bool(self.hosts)

    def restricted(self, allowed: Iterable[str]) -> Grants:
        """Return the grants of some kinds; see `GRANT_KINDS`."""
        kinds = frozenset(allowed)
        return Grants(
            hosts=self.hosts if "net" in kinds else (),
            self_http=self.self_http and "net=self" in kinds,
            read=self.read if "read" in kinds else (),
            write=self.write if "write" in kinds else (),
            variables=self.variables if "env" in kinds else (),
            subprocess=self.subprocess and "subprocess" in kinds,
        )

    def joined(self, other: Grants) -> Grants:
        """Return what either grants, in canonical form."""
        write = {*self.write, *other.write}
        return Grants(
            hosts=tuple(sorted({*self.hosts, *other.hosts}, key=_host_text)),
            self_http=self.self_http or other.self_http,
            read=tuple(sorted({*self.read, *other.read} - write)),
            write=tuple(sorted(write)),
            variables=tuple(sorted({*self.variables, *other.variables})),
            subprocess=self.subprocess or other.subprocess,
        )


def parse_grants(texts: Iterable[str]) -> Grants:
    """Return what a list of grants allows, in canonical form.

    Raises:
        InvalidParameter: one cannot be read; the message says how it is written.
    """
    grants = Grants()
    for text in texts:
        grants = grants.joined(_grant(text.strip()))
    return grants


def grant_texts(grants: Grants) -> list[str]:
    """Return grants as users write them, in their canonical form."""
    return [
        *(f"net={_host_text(host)}" for host in grants.hosts),
        *(["net=self"] if grants.self_http else []),
        *(f"read={path}" for path in grants.read),
        *(f"write={path}" for path in grants.write),
        *(f"env={name}" for name in grants.variables),
        *(["subprocess"] if grants.subprocess else []),
    ]


def check_kinds(grants: Grants, allowed: Iterable[str]) -> None:
    """Check that all grants are of kinds that a server allows.

    Args:
        grants: of a trigger.
        allowed: some of `GRANT_KINDS`.

    Raises:
        InvalidParameter: one is not; the message names it.
    """
    kinds = tuple(allowed)
    for text in grant_texts(grants):
        kind = text if text == "net=self" else text.partition("=")[0]
        if kind not in kinds:
            raise InvalidParameter(
                f"grant {text!r} is not allowed by this server; "
                f"it allows {', '.join(kinds) or 'none'}"
            )


def _grant(text: str) -> Grants:
    kind, equals, value = text.partition("=")
    match kind, value:
        case "subprocess", _ if not equals:
            return Grants(subprocess=True)
        case "net", "self":
            return Grants(self_http=True)
        case "net", _ if value:
            return Grants(hosts=(_host(text, value),))
        case "read", _ if value:
            return Grants(read=(_path(text, value),))
        case "write", _ if value:
            return Grants(write=(_path(text, value),))
        case "env", _ if value:
            return Grants(variables=(_variable(text, value),))
        case _:
            raise InvalidParameter(f"unknown grant {text!r}; write one of {_FORMS}")


def _host(text: str, value: str) -> HostGrant:
    if value.startswith("["):
        written, bracket, port = value[1:].partition("]")
        host, has_end = _ipv6(text, written), bool(bracket)
        port = port.removeprefix(":") if port.startswith(":") or not port else "?"
    else:
        written, _, port = value.partition(":")
        has_end = True
        if ":" in port:
            raise InvalidParameter(
                f"grant {text!r}: an IPv6 address stands in brackets, as net=[::1]:443"
            )
        host = _name(text, written)
    if not has_end or not port:
        shown = f"[{host}]" if ":" in host else host
        raise InvalidParameter(
            f"grant {text!r} lacks a port; write net={shown}:443 or net={shown}:*"
        )
    return HostGrant(host, _port(text, port))


def _port(text: str, port: str) -> int | None:
    if port == "*":
        return None
    if not _PORT.fullmatch(port) or not 1 <= int(port) <= _LARGEST_PORT:
        raise InvalidParameter(f"grant {text!r}: {port!r} is no port from 1 to 65535 and not *")
    return int(port)


def _ipv6(text: str, written: str) -> str:
    try:
        address = IPv6Address(written)
    except AddressValueError as error:
        raise InvalidParameter(f"grant {text!r}: {written!r} is no IPv6 address") from error
    if address.scope_id is not None:
        raise InvalidParameter(f"grant {text!r}: an address with a zone cannot be granted")
    return str(address)


def _name(text: str, written: str) -> str:
    host = written.lower().removesuffix(".")
    if host == "self":
        raise InvalidParameter(f"grant {text!r}: this server is granted without a port: net=self")
    if _NUMERIC_END.fullmatch(host):
        try:
            return str(IPv4Address(host))
        except AddressValueError as error:
            raise InvalidParameter(f"grant {text!r}: {written!r} is no IPv4 address") from error
    if len(host) > _LONGEST_HOST or not _HOST.fullmatch(host):
        raise InvalidParameter(
            f"grant {text!r}: {written!r} is no host name; it is written in full, in ASCII and "
            "without wildcards"
        )
    return host


def _host_text(grant: HostGrant) -> str:
    host = f"[{grant.host}]" if ":" in grant.host else grant.host
    return f"{host}:{'*' if grant.port is None else grant.port}"


def _path(text: str, path: str) -> str:
    parts = path.split("/")[1:]
    is_normal = path == "/" or not {"", ".", ".."}.intersection(parts)
    if not path.startswith("/") or not is_normal:
        raise InvalidParameter(
            f"grant {text!r}: a path starts with / and has no '.', '..', '//' or / at its end"
        )
    if not path.isprintable() or len(path.encode()) > _LONGEST_PATH:
        raise InvalidParameter(f"grant {text!r}: the path is too long or has control characters")
    return path


def _variable(text: str, name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise InvalidParameter(
            f"grant {text!r}: {name!r} is no name of a variable; "
            "letters, digits and _ only, without its value"
        )
    if _OWN_VARIABLES.fullmatch(name):
        raise InvalidParameter(
            f"grant {text!r}: the server sets {name} itself, or it changes how programs run"
        )
    return name
