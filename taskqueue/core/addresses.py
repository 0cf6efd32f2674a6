"""Which addresses a guarded call may dial: tables of what is not the public Internet, and the operator's own lists.

What `ipaddress` calls private or global differs between patch releases of Python (CVE-2024-4032) and says nothing about
an IPv4 address within an IPv6 one, so the tables are here. An address is judged by all its faces: itself, and each one
that a kernel, a tunnel or a translator would reach through it. Denied is what any face is; allowed must be every face
that the tables block.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from types import MappingProxyType
from typing import Final

from taskqueue.errors import InvalidValueError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: The IANA registries of special-purpose addresses (RFC 6890 and its updates), in its words where it has some. First
#: match counts; None leaves it to the IPv4 address within. Of IPv6 only 2000::/3 is assigned for global unicast.
_KINDS: Final[tuple[tuple[Network, str | None], ...]] = tuple(
    (ip_network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "an unspecified address"),  # RFC 791; Linux takes 0.0.0.0 for this host
        ("10.0.0.0/8", "a private address"),  # RFC 1918
        ("100.64.0.0/10", "a shared address (CGNAT)"),  # RFC 6598; Alibaba's metadata are in it
        ("127.0.0.0/8", "a loopback address"),  # RFC 1122
        ("168.63.129.16/32", "an address of the cloud's own services"),  # Azure's WireServer, seen from its machines
        ("169.254.0.0/16", "a link-local address"),  # RFC 3927; the metadata of most clouds
        ("172.16.0.0/12", "a private address"),
        ("192.0.0.0/24", "an address of IETF protocols"),  # RFC 6890; Oracle's metadata are in it
        ("192.0.2.0/24", "a documentation address"),  # RFC 5737
        ("192.88.99.0/24", "an address of 6to4 relays"),  # RFC 7526
        ("192.168.0.0/16", "a private address"),
        ("198.18.0.0/15", "a benchmarking address"),  # RFC 2544
        ("198.51.100.0/24", "a documentation address"),
        ("203.0.113.0/24", "a documentation address"),
        ("224.0.0.0/4", "a multicast address"),  # RFC 5771
        ("255.255.255.255/32", "the broadcast address"),  # RFC 919
        ("240.0.0.0/4", "a reserved address"),  # RFC 1112
        ("::/128", "an unspecified address"),  # RFC 4291
        ("::1/128", "a loopback address"),
        ("::ffff:0:0/96", None),  # RFC 4291: the kernel dials the IPv4 address
        ("64:ff9b::/96", None),  # RFC 6052: with DNS64, how an IPv6-only host reaches every IPv4 one
        ("fc00::/7", "a private address"),  # RFC 4193; the IPv6 metadata of clouds
        ("fe80::/10", "a link-local address"),
        ("fec0::/10", "a site-local address"),  # RFC 3879
        ("ff00::/8", "a multicast address"),
        ("2001::/23", "an address of IETF protocols"),  # RFC 2928: Teredo, ORCHID, benchmarking and more
        ("2001:db8::/32", "a documentation address"),  # RFC 3849
        ("2002::/16", "a 6to4 address"),  # RFC 7526
        ("3fff::/20", "a documentation address"),  # RFC 9637
        ("::/3", "a reserved address"),  # also IPv4-compatible, IPv4-translated, local NAT64, discard-only
        ("4000::/2", "a reserved address"),
        ("8000::/1", "a reserved address"),
    )
)

_ALL_OF_IPV4: Final = 0xFFFF_FFFF

#: where an IPv6 address of a network holds an IPv4 address: how far from the right, and its bits that are inverted
_EMBEDDINGS: Final[tuple[tuple[Network, int, int], ...]] = tuple(
    (ip_network(network), shift, inverted)
    for network, shift, inverted in (
        ("::ffff:0:0/96", 0, 0),  # IPv4-mapped
        ("::/96", 0, 0),  # IPv4-compatible, RFC 4291
        ("::ffff:0:0:0/96", 0, 0),  # IPv4-translated, RFC 2765
        ("64:ff9b::/96", 0, 0),  # NAT64
        ("64:ff9b:1::/48", 0, 0),  # NAT64 of a local network, RFC 8215, with a prefix of 96 bits
        ("2002::/16", 80, 0),  # 6to4, RFC 3056
        ("2001::/32", 64, 0),  # Teredo's server, RFC 4380
        ("2001::/32", 0, _ALL_OF_IPV4),  # and its client
    )
)

#: where Linux connects to when it is asked for no address at all
_LOOPBACK: Final[Mapping[int, Address]] = MappingProxyType({4: IPv4Address("127.0.0.1"), 6: IPv6Address("::1")})

#: the first half of an interface id that ends in an IPv4 address (ISATAP, RFC 5214, 6.1), whatever its network
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})

#: names of one's own network. RFC 6761; RFC 6762, appendix G; RFC 8375; ICANN's .internal; clouds and Kubernetes.
_LOCAL_NAMES: Final = (
    *("localhost", "local", "localdomain", "internal", "intranet", "private", "corp", "home", "lan", "home.arpa"),
    *("metadata.goog", "kubernetes.default", "svc", "consul"),
)

#: what a range of ports leaves out: services that no stranger is meant to reach, many without a password
INTERNAL_SERVICES: Final = frozenset(
    {
        *(1099, 1433, 1521, 2049, 2181, 2375, 2376, 2377, 2379, 2380),  # RMI, SQL Server, Oracle, NFS, ZooKeeper, etcd
        *(3000, 3260, 3306, 3389, 4001, 4040, 4194, 4369, 4646, 5000),  # Grafana, iSCSI, MySQL, RDP, epmd, Nomad
        *(5432, 5433, 5555, 5601, 5671, 5672, 5900, 5984, 5985, 5986),  # PostgreSQL, Kibana, AMQP, VNC, CouchDB, WinRM
        *(6000, 6066, 6379, 6380, 6443, 6783, 7000, 7001, 7077, 7199),  # X11, Spark, Redis, Kubernetes, Cassandra
        *(7473, 7474, 7687, 8001, 8009, 8081, 8086, 8125, 8200, 8300),  # Neo4j, AJP, our worker, InfluxDB, Vault
        *(8301, 8302, 8472, 8500, 8600, 8888, 9000, 9001, 9042, 9090),  # Consul, Jupyter, MinIO, Prometheus
        *(9091, 9092, 9093, 9100, 9160, 9200, 9300, 9411, 9418, 9999),  # Kafka, Alertmanager, Elasticsearch, Git
        *(10248, 10249, 10250, 10255, 10256, 10257, 10259, 11211, 11434),  # kubelet and its like, memcached, Ollama
        *(15671, 15672, 15692, 16379, 16686, 25672, 26379, 26257),  # RabbitMQ, Redis Cluster and Sentinel, CockroachDB
        *(27017, 27018, 27019, 28015, 28017, 50000, 50070, 61616),  # MongoDB, RethinkDB, Jenkins, HDFS, ActiveMQ
    }
)

_DENIED: Final = "is denied by guard.deny in worker.yaml"
_REMEDY: Final = "name it in guard.allow in worker.yaml if that is meant"
_NO_PLAIN_HOST: Final = "is neither a host name nor an address in its usual form; write it as name, a.b.c.d or [a:b::c]"

#: The last part of a name begins with a letter, as in every top-level domain: what ends in a number, be it octal,
#: hexadecimal or of 32 bits, is an IPv4 address to resolvers.
_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9_][a-z0-9_-]{0,62}\.)*[a-z][a-z0-9_-]{0,62}", re.ASCII)
_LOOKS_LIKE_NETWORK = re.compile(r"[0-9./]+|[0-9A-Fa-f.]*:[0-9A-Fa-f.:]*(/[0-9]*)?", re.ASCII)
_BRACKETED = re.compile(r"\[([^\[\]]*:[^\[\]]*)\](?::([^:]*))?")

_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_HIGHEST_PORT: Final = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRule:
    """An entry of an allow or deny list: a network or a name, on one port or on all (None).

    A `name` with a dot in front stands for all names below it.
    """

    network: Network | None = None
    name: str = ""
    port: int | None = None

    def names(self, name: str) -> bool:
        """Return whether it is about the host `name`, lower case and without a final dot."""
        return bool(self.name) and (name.endswith(self.name) if self.name[0] == "." else name == self.name)

    def covers(self, address: Address) -> bool:
        """Return whether it is about `address`."""
        return self.network is not None and address in self.network

    def holds_on(self, port: int) -> bool:
        """Return whether it is about `port`."""
        return self.port is None or self.port == port


@dataclass(frozen=True, slots=True, kw_only=True)
class PortRange:
    """Ports from `first` to `last`; more than one leave out INTERNAL_SERVICES."""

    first: int
    last: int

    def opens(self, port: int) -> bool:
        """Return whether `port` may be called."""
        return self.first <= port <= self.last and (self.first == self.last or port not in INTERNAL_SERVICES)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressPolicy:
    """What may be called. `deny` wins over `allow`, and `allow` over the tables; a port must be open as well.

    An entry of `allow` with a port opens that port. Not `strict`: everything but what is in `deny`.
    """

    allow: tuple[AddressRule, ...] = ()
    deny: tuple[AddressRule, ...] = ()
    ports: tuple[PortRange, ...] = (PortRange(first=80, last=80), PortRange(first=443, last=443))
    strict: bool = True


def name_verdict(host: str, port: int, policy: AddressPolicy) -> str | None:
    """Return why `host` may not be called, judged before it is looked up; None where its addresses are to decide.

    `host` is a name or a literal without brackets. The reason reads on after the host and names the remedy.
    """
    name = plain_name(host)
    if any(rule.names(name) and rule.holds_on(port) for rule in policy.deny):
        return _DENIED
    address = _literal(name)
    if address is not None:
        return verdict(address, port, policy, host=host)
    if not policy.strict:
        return None
    if not _NAME.fullmatch(name):
        return _NO_PLAIN_HOST
    if not any(rule.names(name) and rule.holds_on(port) for rule in policy.allow) and _is_local(name):
        return f"is a name of the own network; {_REMEDY}"
    # An allowed network may open the port: then the addresses decide.
    open_somewhere = _is_open(port, policy) or any(rule.port == port for rule in policy.allow)
    return None if open_somewhere else _closed(port)


def verdict(address: Address, port: int, policy: AddressPolicy, *, host: str = "") -> str | None:
    """Return why `address`, a literal or what `host` was resolved to, may not be called on `port`; None if it may.

    The reason reads on after the host, names the remedy and leaves the address out: whoever made the task may not know
    the own network.
    """
    name, faces = plain_name(host), _faces(address)
    if any(rule.holds_on(port) and _is_about(rule, name, faces) for rule in policy.deny):
        return _DENIED
    if not policy.strict:
        return None
    if getattr(address, "scope_id", None) is not None:
        return _NO_PLAIN_HOST
    allowing = [rule for rule in policy.allow if rule.holds_on(port)]
    if not any(rule.names(name) for rule in allowing):
        for face in faces:
            kind = _kind(face)
            if kind is not None and not any(rule.covers(face) for rule in allowing):
                return f"leads to {kind}; {_REMEDY}"
    opened = any(rule.port == port and _is_about(rule, name, faces) for rule in allowing)
    return None if opened or _is_open(port, policy) else _closed(port)


def plain_name(host: str) -> str:
    """Return `host` as rules have it: in lower case, without the dots at its end."""
    return host.lower().rstrip(".")


def parse_rule(text: str) -> AddressRule:
    """Return the rule that `text` is: a network, an address, a name or `.suffix`, each with `:port` if it likes.

    An IPv6 address with a port stands in brackets. Raises InvalidValueError.
    """
    host, port = _without_port(text)
    if not _LOOKS_LIKE_NETWORK.fullmatch(host):
        name = plain_name(host)
        if not _NAME.fullmatch(name.removeprefix(".")):
            raise InvalidValueError(
                f"{text!r}: neither a network nor a host name; use 10.0.0.0/8, [fd00::]:8080, api.example.com:443 "
                "or .example.com for all names below it"
            )
        return AddressRule(name=name, port=port)
    try:
        network = ip_network(host)
    except ValueError:
        raise InvalidValueError(
            f"{text!r}: not a network, or one with bits behind its prefix; write it as in 10.0.0.0/8 or fd00::/8"
        ) from None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        raise InvalidValueError(f"{text!r}: an IPv4 network in the notation of IPv6; write it as in 10.0.0.0/8")
    return AddressRule(network=network, port=port)


def parse_port_range(value: int | str) -> PortRange:
    """Return the ports that `value` names: a number, or a range as in `1024-65535`. Raises InvalidValueError."""
    first, dash, last = str(value).partition("-")
    return PortRange(first=_port(first), last=_checked_last(first, last) if dash else _port(first))


def _checked_last(first: str, last: str) -> int:
    if _port(last) <= _port(first):
        raise InvalidValueError(f"ports {first}-{last}: a range goes from the lower port to the higher one")
    return _port(last)


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) or not 1 <= int(text) <= _HIGHEST_PORT:
        raise InvalidValueError(f"port {text!r}: use 1 to {_HIGHEST_PORT}")
    return int(text)


def _without_port(text: str) -> tuple[str, int | None]:
    bracketed = _BRACKETED.fullmatch(text)
    if bracketed is not None:
        host, port = bracketed[1], bracketed[2]
        return host, None if port is None else _port(port)
    host, colon, port = text.partition(":")
    if not colon or ":" in port or "/" in port:
        return text, None  # no port, an IPv6 address, or a URL
    return host, _port(port)


def _literal(name: str) -> Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None


def _is_local(name: str) -> bool:
    # A resolver completes a name of one label from its search list, so it is always of the own network.
    return "." not in name or any(name == own or name.endswith(f".{own}") for own in _LOCAL_NAMES)


def _is_open(port: int, policy: AddressPolicy) -> bool:
    return any(ports.opens(port) for ports in policy.ports)


def _closed(port: int) -> str:
    return f"leads to port {port}, which is closed; open it in guard.ports or guard.allow in worker.yaml if meant"


def _is_about(rule: AddressRule, name: str, faces: Iterable[Address]) -> bool:
    return rule.names(name) or any(rule.covers(face) for face in faces)


def _kind(address: Address) -> str | None:
    return next((kind for network, kind in _KINDS if address in network), None)


def _faces(address: Address) -> tuple[Address, ...]:
    return (address, *(face for led_to in _led_to(address) for face in _faces(led_to)))


def _led_to(address: Address) -> Iterator[Address]:
    bits = int(address)
    if bits == 0:
        yield _LOOPBACK[address.version]
    if isinstance(address, IPv4Address) or bits <= 1:
        return  # RFC 4291, 2.5.5.1: neither `::` nor `::1` is IPv4-compatible
    for network, shift, inverted in _EMBEDDINGS:
        if address in network:
            yield IPv4Address(((bits >> shift) & _ALL_OF_IPV4) ^ inverted)
    if (bits >> 32) & _ALL_OF_IPV4 in _ISATAP:
        yield IPv4Address(bits & _ALL_OF_IPV4)
